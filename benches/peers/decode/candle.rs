//! Steps of candle-transformers' quantised llama, as `cargo bench --bench decode -- --raw` measures ours. Built and run by ../decode.py.
//!
//! It takes one line at a time, so there are no steps of several branches.
//!
//! usage: candle MODEL.gguf CONTEXT STEPS; threads by RAYON_NUM_THREADS

use std::time::Instant;

use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;

fn token(i: usize) -> u32 {
    (100 + (i * 7919) % 40_000) as u32
}

/// Of all threads: what a busy machine disturbs least.
fn processor_ms() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is there.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().collect();
    let (context, steps): (usize, usize) = (given[2].parse()?, given[3].parse()?);
    let mut file = std::io::BufReader::new(std::fs::File::open(&given[1])?);
    let content = gguf_file::Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    let text: Vec<u32> = (0..context).map(token).collect();
    let (mut prefill, mut logits) = (0.0, Vec::new());
    for _ in 0..2 {
        // The first warms up.
        let begun = Instant::now();
        let said = model.forward(&Tensor::new(&text[..], &Device::Cpu)?.unsqueeze(0)?, 0)?;
        logits = said.flatten_all()?.to_vec1::<f32>()?[..64].to_vec();
        prefill = begun.elapsed().as_secs_f64() * 1e3;
    }
    let (mut step, mut worked) = (Vec::new(), Vec::new());
    for t in 0..steps {
        let (begun, before) = (Instant::now(), processor_ms());
        let next = Tensor::new(&[[token(context + t)]], &Device::Cpu)?;
        let said = model.forward(&next, context + t)?;
        said.flatten_all()?.to_vec1::<f32>()?;
        if t > 0 {
            step.push(begun.elapsed().as_secs_f64() * 1e3);
            worked.push(processor_ms() - before);
        }
    }
    step.sort_by(f64::total_cmp);
    worked.sort_by(f64::total_cmp);
    println!(
        "{{\"engine\":\"candle\",\"threads\":{},\"context\":{context},\"branches\":1,\"step_ms\":{:.4},\"step_min_ms\":{:.4},\"step_cpu_ms\":{:.4},\"prefill_ms\":{prefill:.3},\"logits\":{logits:?}}}",
        candle_core::utils::get_num_threads(),
        step[step.len() / 2],
        step[0],
        worked[worked.len() / 2],
    );
    Ok(())
}
