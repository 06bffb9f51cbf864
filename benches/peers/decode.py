#!/usr/bin/env python3
"""Decoding beside llama.cpp and candle-transformers: the same weights, rounds that take turns, medians and ratios.

    python3 benches/peers/decode.py [--shape smol135|qwen05] [--rounds 5] [--steps 12] [--threads 1,2] [--contexts 64,512]
                                    [--formats q8,q4] [--work target/peers/decode] [--skip-candle] [--out rows.jsonl]
    python3 benches/peers/decode.py --table rows.jsonl

Wants python3 with venv, a C++ compiler, cargo, and the registries of both. Everything it makes lies under --work:
a virtual environment (cmake, ninja, numpy, gguf, safetensors), llama.cpp from the sources in the crate llama-cpp-sys-2, a crate
with candle-transformers, and random weights in the exact shape of a model: a Hugging Face folder for us and GGUF files, quantised
by the reference of PyPI's `gguf`, for the others. What is there already is not made again.

Weights are random: what is compared is time, and 64 logits behind the text, so that nobody is fast by being wrong.
A round runs every engine once at every setting, in turns, so that whatever else the machine does disturbs all alike; quote the
ratios, and the load that is printed with them.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LLAMA_CRATE = ("llama-cpp-sys-2", "0.1.161")
CANDLE = "0.11"
# hidden, layers, heads, key heads, head width, intermediate, vocabulary, qkv bias, rope theta, family
SHAPES = {
    "smol135": (576, 30, 9, 3, 64, 1536, 49152, False, 10000.0, "llama"),
    "qwen05": (896, 24, 14, 2, 64, 4864, 151936, True, 1000000.0, "qwen2"),
}
FIGURES = ("step_ms", "step_cpu_ms", "prefill_ms")
GGUF = {"q8": "Q8_0", "q4": "Q4_0"}
SEED = 1


def run(*command, **kwargs):
    return subprocess.run([str(part) for part in command], check=True, **kwargs)


def environment(work):
    """A virtual environment with what builds and writes; this program goes on in it."""
    python = work / "venv" / "bin" / "python"
    if Path(sys.prefix).resolve() == (work / "venv").resolve():
        return
    if not (work / "venv" / "ready").exists():
        run(sys.executable, "-m", "venv", work / "venv")
        run(python, "-m", "pip", "install", "-q", "cmake", "ninja", "numpy", "gguf", "safetensors")
        (work / "venv" / "ready").touch()
    os.execv(python, [str(python), *sys.argv])


def crate(folder, name, dependencies, main):
    (folder / "src").mkdir(parents=True, exist_ok=True)
    manifest = f'[package]\nname = "{name}"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n[dependencies]\n{dependencies}'
    (folder / "Cargo.toml").write_text(manifest)
    (folder / "src" / "main.rs").write_text(main)


NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


def llama_cpp(work, trial):
    """Builds llama.cpp for this processor and the program that times it; without AMX where its AMX kernels crash (in some virtual machines)."""
    program = work / "llama"
    if not program.exists():
        build_llama(work, program, "")
    if "failed" in measured([program, trial, 1, 64, 1, 2]):
        print("# llama.cpp fails as it is and is built again without AMX", file=sys.stderr)
        shutil.rmtree(work / "build")
        build_llama(work, program, NO_AMX)
    return program


def build_llama(work, program, flags):
    name, version = LLAMA_CRATE
    sources = work / "llama.cpp"
    if not sources.exists():
        crate(work / "llama_src", "llama_src", f'{name} = "={version}"\n', "fn main() {}\n")
        listed = run("cargo", "metadata", "--format-version", "1", cwd=work / "llama_src", capture_output=True).stdout
        found = next(p for p in json.loads(listed)["packages"] if p["name"] == name)
        shutil.copytree(Path(found["manifest_path"]).parent / "llama.cpp", sources)
    tools = work / "venv" / "bin"
    path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    off = ["LLAMA_CURL", "LLAMA_OPENSSL", "BUILD_SHARED_LIBS"]
    off += [f"LLAMA_BUILD_{part}" for part in ("COMMON", "TOOLS", "TESTS", "SERVER", "EXAMPLES", "APP")]
    run("cmake", "-S", sources, "-B", work / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON",
        f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}",
        *(f"-D{option}=OFF" for option in off), env=path)
    run("ninja", "-C", work / "build", "llama", env=path)
    ggml = work / "build" / "ggml" / "src"
    run("c++", "-O2", "-std=c++17", f"-I{sources}/include", f"-I{sources}/ggml/include", HERE / "decode" / "llama.cpp", "-o", program,
        work / "build" / "src" / "libllama.a", ggml / "libggml.a", ggml / "libggml-cpu.a", ggml / "libggml-base.a",
        "-fopenmp", "-lpthread", "-lm", "-ldl")


def candle(work):
    folder = work / "candle"
    program = folder / "target" / "release" / "candle"
    if not program.exists():
        parts = 'libc = "0.2"\n' + "".join(f'{name} = "{CANDLE}"\n' for name in ("candle-core", "candle-transformers"))
        crate(folder, "candle", parts, (HERE / "decode" / "candle.rs").read_text())
        run("cargo", "build", "--release", cwd=folder, env={**os.environ, "CARGO_TARGET_DIR": str(folder / "target")})
    return program


def tokenizer(vocabulary):
    """Byte-level pieces for every id: nothing is encoded here, but a folder needs one."""
    pieces = {f"<{i}>": i for i in range(vocabulary)}
    bpe = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
               fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab=pieces, merges=[])
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    return dict(version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None, pre_tokenizer=level,
                post_processor=None, decoder=level, model=bpe)


def tensors(shape):
    import numpy as np

    hidden, layers, heads, kv, width, inter, vocabulary, bias, *_ = shape
    random = np.random.default_rng(SEED)

    def matrix(*size):
        return (random.standard_normal(size, dtype=np.float32) * 0.5 * size[-1] ** -0.5).astype(np.float16)

    ones = np.ones(hidden, np.float16)
    all = {"model.embed_tokens.weight": matrix(vocabulary, hidden), "model.norm.weight": ones}
    for i in range(layers):
        at = f"model.layers.{i}."
        all[at + "input_layernorm.weight"] = ones
        all[at + "post_attention_layernorm.weight"] = ones
        for part, n in (("q", heads), ("k", kv), ("v", kv)):
            all[at + f"self_attn.{part}_proj.weight"] = matrix(n * width, hidden)
            if bias:
                all[at + f"self_attn.{part}_proj.bias"] = matrix(n * width)
        all[at + "self_attn.o_proj.weight"] = matrix(hidden, heads * width)
        all[at + "mlp.gate_proj.weight"] = matrix(inter, hidden)
        all[at + "mlp.up_proj.weight"] = matrix(inter, hidden)
        all[at + "mlp.down_proj.weight"] = matrix(hidden, inter)
    return all


NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def interleaved(array, heads):
    """Rows of queries and keys as GGUF's llama wants them: a pair of a rotation side by side."""
    half = array.shape[0] // heads // 2
    return array.reshape(heads, 2, half, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def write_gguf(path, quantised, shape, all):
    import gguf
    import numpy as np

    hidden, layers, heads, kv, width, inter, vocabulary, _, theta, family = shape
    kind = gguf.GGMLQuantizationType[quantised]
    out = gguf.GGUFWriter(str(path), family)
    out.add_context_length(2048)
    out.add_embedding_length(hidden)
    out.add_block_count(layers)
    out.add_feed_forward_length(inter)
    out.add_head_count(heads)
    out.add_head_count_kv(kv)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(width)
    out.add_rope_freq_base(theta)
    out.add_vocab_size(vocabulary)
    out.add_tokenizer_model("no_vocab")
    for name, array in all.items():
        array = array.astype(np.float32)
        if family == "llama" and "q_proj" in name:
            array = interleaved(array, heads)
        if family == "llama" and "k_proj" in name:
            array = interleaved(array, kv)
        array = np.ascontiguousarray(array)
        if array.ndim == 1:
            out.add_tensor(gguf_name(name), array)
        else:
            out.add_tensor(gguf_name(name), gguf.quants.quantize(array, kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def weights(work, name, formats):
    """A folder for us and a GGUF file per format, of the same random numbers."""
    shape, folder = SHAPES[name], work / name
    folder.mkdir(parents=True, exist_ok=True)
    files = {form: folder / f"{form}.gguf" for form in formats}
    model = folder / "hf"
    if (model / "ready").exists() and all(file.exists() for file in files.values()):
        return model, files
    from safetensors.numpy import save_file

    hidden, layers, heads, kv, width, inter, vocabulary, bias, theta, family = shape
    numbers = tensors(shape)
    model.mkdir(exist_ok=True)
    save_file(numbers, model / "model.safetensors", metadata={"format": "pt"})
    architecture = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[family]
    config = dict(architectures=[architecture], model_type=family, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                  num_key_value_heads=kv, head_dim=width, intermediate_size=inter, vocab_size=vocabulary, rms_norm_eps=1e-5,
                  rope_theta=theta, max_position_embeddings=2048, tie_word_embeddings=True, hidden_act="silu", bos_token_id=0,
                  eos_token_id=1, torch_dtype="float16")
    if family == "llama":
        config |= dict(attention_bias=False, mlp_bias=False)
    (model / "config.json").write_text(json.dumps(config, indent=1))
    (model / "tokenizer.json").write_text(json.dumps(tokenizer(vocabulary)))
    for form, file in files.items():
        part = file.with_suffix(".part")
        write_gguf(part, GGUF[form], shape, numbers)
        part.rename(file)
    (model / "ready").touch()
    return model, files


def ours(work):
    """Builds the benchmark of this repository; --razvilka names a built one."""
    listed = run("cargo", "bench", "--bench", "decode", "--no-run", "--message-format", "json", cwd=ROOT, stdout=subprocess.PIPE).stdout
    made = (json.loads(line) for line in listed.splitlines() if line.startswith(b"{"))
    return next(m["executable"] for m in made if m.get("executable") and m["target"]["name"] == "decode")


def measured(command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env={**os.environ, **more})
    if done.returncode:
        return {"failed": (done.stderr.strip() or str(done.returncode))[-300:]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="smol135")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--contexts", default="64,512")
    parser.add_argument("--formats", default="q8,q4")
    parser.add_argument("--branches", default="1,3")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "peers" / "decode")
    parser.add_argument("--razvilka", help="the built benchmark `decode`, instead of building it")
    parser.add_argument("--skip-candle", action="store_true")
    parser.add_argument("--table", type=Path, nargs="+", help="only the table of what earlier runs wrote to --out")
    parser.add_argument("--out", type=Path, help="every single figure, one JSON line each")
    given = parser.parse_args()
    if given.table:
        found = {}
        for row in (json.loads(line) for file in given.table for line in file.read_text().splitlines()):
            key = (row["format"], row["threads"], row["context"], row["branches"], row["engine"])
            found.setdefault(key, []).append(row)
        table(found)
        return
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    environment(work)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    formats = given.formats.split(",")
    model, files = weights(work, given.shape, formats)
    llama = llama_cpp(work, next(iter(files.values())))
    # candle-transformers reads GGUF files of llama only with this program.
    other = None if given.skip_candle or given.shape != "smol135" else candle(work)
    us = given.razvilka or ours(work)

    found = {}
    print(f"# {processor()}, {os.cpu_count()} processors, load at the start {os.getloadavg()}")
    out = given.out.open("w") if given.out else None
    for number in range(given.rounds):
        for form in formats:
            for threads in numbers(given.threads):
                for context in numbers(given.contexts):
                    for branches in numbers(given.branches):
                        for engine in ("razvilka", "llama.cpp", "candle"):
                            if engine == "razvilka":
                                row = measured([us, "--raw", "--model", model, "--precision", form, "--threads", threads,
                                                "--context", context, "--branches", branches, "--steps", given.steps])
                            elif engine == "llama.cpp":
                                row = measured([llama, files[form], threads, context, branches, given.steps], OMP_NUM_THREADS=str(threads))
                            elif other and branches == 1:
                                row = measured([other, files[form], context, given.steps], RAYON_NUM_THREADS=str(threads),
                                               CANDLE_NUM_THREADS=str(threads))
                            else:
                                continue
                            if "failed" in row:
                                print(f"# {engine} {form} {threads} {context} {branches}: {row['failed']}", file=sys.stderr)
                                continue
                            found.setdefault((form, threads, context, branches, engine), []).append(row)
                            if out:
                                print(json.dumps(dict(row, engine=engine, format=form, round=number)), file=out, flush=True)
        print(f"# round {number + 1} of {given.rounds}: load {os.getloadavg()}", file=sys.stderr)
    table(found)
    print(f"# load at the end {os.getloadavg()}")


def table(found):
    rounds = [len(rows) for rows in found.values()]
    print(f"# medians of {min(rounds)} to {max(rounds)} rounds")
    middle = {key: {what: statistics.median(row[what] for row in rows) for what in FIGURES} for key, rows in found.items()}
    print("| format | threads | context | branches | step, ms: razvilka | llama.cpp | candle | times llama.cpp | times candle "
          "| by CPU time: times llama.cpp | times candle | prefill, ms: razvilka | llama.cpp | candle | times llama.cpp |")
    print("|---" * 15 + "|")
    for key in sorted({key[:4] for key in middle}, key=lambda k: (k[0] != "q8", *k[1:])):
        us, llama, candle = (middle.get((*key, engine)) for engine in ("razvilka", "llama.cpp", "candle"))
        show = lambda of, what: f"{of[what]:.2f}" if of else ""  # noqa: E731
        times = lambda of, what: f"{of[what] / us[what]:.2f}" if of and us else ""  # noqa: E731
        cells = [*key, *(show(of, "step_ms") for of in (us, llama, candle)), times(llama, "step_ms"), times(candle, "step_ms"),
                 times(llama, "step_cpu_ms"), times(candle, "step_cpu_ms"),
                 *(show(of, "prefill_ms") for of in (us, llama, candle)), times(llama, "prefill_ms")]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")
    logits = {key: rows[0]["logits"] for key, rows in found.items() if "logits" in rows[0]}
    for (*where, engine), theirs in sorted(logits.items()):
        ours = logits.get((*where, "razvilka"))
        if ours and engine != "razvilka" and where[3] == 1:
            size = max(abs(x) for x in theirs)
            worst = max(abs(a - b) for a, b in zip(ours, theirs)) / size
            print(f"# {engine} {where[0]}, {where[1]} threads, context {where[2]}: logits differ from ours by {worst:.1e} of the largest at most")
    for form, threads, context, branches, engine in sorted(middle):
        if branches == 3 and (one := middle.get((form, threads, context, 1, engine))):
            three = middle[form, threads, context, 3, engine]
            wall, cpu = (three[what] / one[what] for what in FIGURES[:2])
            print(f"# {engine} {form}, {threads} threads, context {context}: three branches take {wall:.2f} of one step, {cpu:.2f} by CPU time")


if __name__ == "__main__":
    main()
