// Steps of llama.cpp, as `cargo bench --bench decode -- --raw` measures ours. Built and run by ../decode.py.
// usage: llama MODEL.gguf THREADS CONTEXT BRANCHES STEPS
#include "llama.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

static double now_ms() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of all threads: what a busy machine disturbs least.
static double processor_ms() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1e3 + time.tv_nsec * 1e-6;
}

static void silent(ggml_log_level, const char *, void *) {}

static llama_token token(int i) { return 100 + (i * 7919) % 40000; }

static double median(std::vector<double> & all) {
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
}

int main(int n, char ** given) {
    if (n != 6) return 2;
    const int threads = atoi(given[2]), context = atoi(given[3]), branches = atoi(given[4]), steps = atoi(given[5]);
    llama_log_set(silent, nullptr);
    llama_backend_init();
    auto of_model = llama_model_default_params();
    of_model.n_gpu_layers = 0;
    auto * model = llama_model_load_from_file(given[1], of_model);
    if (!model) return 1;
    auto params = llama_context_default_params();
    params.n_ctx = context + (steps + 2) * branches + 64;
    params.n_batch = 1024;
    params.n_ubatch = 512;
    params.n_threads = threads;
    params.n_threads_batch = threads;
    params.n_seq_max = std::max(branches, 4);
    params.kv_unified = true;  // branches share the cells of what was before them
    params.no_perf = true;
    auto * run = llama_init_from_model(model, params);
    if (!run) return 1;
    auto * memory = llama_get_memory(run);
    std::vector<double> prefill, fork;
    std::vector<float> logits;
    for (int round = 0; round < 2; round++) {  // the first warms up
        llama_memory_clear(memory, true);
        llama_batch batch = llama_batch_init(context, 0, 1);
        batch.n_tokens = context;
        for (int i = 0; i < context; i++) {
            batch.token[i] = token(i);
            batch.pos[i] = i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = i == context - 1;
        }
        const double begun = now_ms();
        if (llama_decode(run, batch)) return 3;
        const float * said = llama_get_logits_ith(run, context - 1);
        logits.assign(said, said + 64);
        if (round > 0) prefill.push_back(now_ms() - begun);
        llama_batch_free(batch);
    }
    const double forked = now_ms();
    for (int s = 1; s < branches; s++) llama_memory_seq_cp(memory, 0, s, 0, context);
    fork.push_back(now_ms() - forked);
    std::vector<double> step, worked;
    llama_batch batch = llama_batch_init(branches, 0, 1);
    for (int t = 0; t < steps; t++) {
        const double begun = now_ms(), before = processor_ms();
        batch.n_tokens = branches;
        for (int s = 0; s < branches; s++) {
            batch.token[s] = token(context + t + s * 31);
            batch.pos[s] = context + t;
            batch.n_seq_id[s] = 1;
            batch.seq_id[s][0] = s;
            batch.logits[s] = 1;
        }
        if (llama_decode(run, batch)) return 3;
        volatile float said = llama_get_logits_ith(run, 0)[0];
        (void) said;
        if (t > 0) {
            step.push_back(now_ms() - begun);
            worked.push_back(processor_ms() - before);
        }
    }
    printf("{\"engine\":\"llama.cpp\",\"threads\":%d,\"context\":%d,\"branches\":%d,\"step_ms\":%.4f,\"step_min_ms\":%.4f,\"step_cpu_ms\":%.4f,\"prefill_ms\":%.3f,\"fork_us\":%.1f,\"logits\":[",
           threads, context, branches, median(step), *std::min_element(step.begin(), step.end()), median(worked), prefill[0], fork[0] * 1e3);
    for (size_t i = 0; i < logits.size(); i++) printf("%s%.6g", i ? "," : "", logits[i]);
    printf("]}\n");
    return 0;
}
