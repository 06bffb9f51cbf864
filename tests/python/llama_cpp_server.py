"""A real llama.cpp server with two tiny models, beside Razvilka: checked against it, and recorded for the tests that run without it.

    python3 -m venv target/llama && target/llama/bin/pip install xllamacpp gguf numpy
    target/llama/bin/python tests/python/llama_cpp_server.py --razvilka target/release/razvilka

The first model is the embedded story model, turned into GGUF by PyPI's `gguf`; its tokenizer of whole words becomes a unigram
one of equal scores, which cuts stories the same way. The second says a short Russian text byte by byte, so that every letter
is cut over two tokens. The server is llama.cpp's own, as PyPI's `xllamacpp` brings it ready built.

With `--razvilka` the program writes by both servers, and what it says is printed. With `--test COMMAND...` (last) that command
runs with both servers' addresses in its environment. With `--record FOLDER` every exchange of it goes into FOLDER as well.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
NORMAL, UNKNOWN, CONTROL, UNUSED = 1, 2, 3, 5


def safetensors(path):
    """Tensors by name."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    kinds = {"F16": np.float16, "F32": np.float32}
    tensors = {}
    for name, about in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            part = data[8 + length + begin : 8 + length + end]
            tensors[name] = np.frombuffer(part, kinds[about["dtype"]]).reshape(about["shape"])
    return tensors


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def story(path):
    """The embedded story model as GGUF."""
    folder = ROOT / "fixtures/story-model"
    config = json.loads((folder / "config.json").read_text())
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    rows = config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("story")
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_block_count(config["num_hidden_layers"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_rope_freq_base(config["rope_theta"])
    w.add_rope_dimension_count(config["head_dim"])
    w.add_vocab_size(rows)
    words = [f"[unused {row}]" for row in range(rows)]
    kinds = [UNUSED] * rows
    for word, row in vocabulary.items():
        words[row], kinds[row] = word.replace(" ", "\u2581"), NORMAL
    kinds[0], kinds[1], kinds[2] = UNKNOWN, CONTROL, CONTROL
    w.add_tokenizer_model("t5")
    w.add_tokenizer_pre("default")
    w.add_token_list(words)
    w.add_token_scores([-1.0] * rows)
    w.add_token_types(kinds)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)

    def interleaved(matrix, count):
        # GGUF's llama files hold the two halves of a rotated head interleaved.
        return matrix.reshape(count, 2, -1, matrix.shape[1]).swapaxes(1, 2).reshape(matrix.shape)

    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }
    for name, tensor in safetensors(folder / "model.safetensors").items():
        if name == "model.embed_tokens.weight":
            w.add_tensor("token_embd.weight", tensor.astype(np.float16))
        elif name == "model.norm.weight":
            w.add_tensor("output_norm.weight", tensor.astype(np.float32))
        else:
            _, _, layer, rest = name.split(".", 3)
            part = rest.rsplit(".", 1)[0]
            if part.endswith("q_proj"):
                tensor = interleaved(tensor, heads)
            if part.endswith("k_proj"):
                tensor = interleaved(tensor, kv_heads)
            kind = np.float32 if tensor.ndim == 1 else np.float16
            w.add_tensor(f"blk.{layer}.{names[part]}.weight", np.ascontiguousarray(tensor, kind))
    finish(w)


def bytewise(path, text="Мёд, и мёд. "):
    """A model whose tokens are bytes: what follows a byte is what follows it in `text`."""
    width, rows = 320, 258
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    names = [chr(b) if b in printable else chr(next(others)) for b in range(256)]
    follows = np.zeros((256, 256))
    data = text.encode()
    for now, then in zip(data, data[1:] + data[:1]):
        follows[now, then] += 1
    embedding = np.zeros((rows, width), np.float32)
    embedding[np.arange(rows), np.arange(rows)] = 1
    output = np.zeros((rows, width), np.float32)
    # The norm makes the one entry of a row sqrt(width).
    seen = follows.T > 0
    output[:256, :256][seen] = (6 + np.log(follows.T[seen])) / np.sqrt(width)
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("bytes")
    for add, value in [
        (w.add_context_length, 512), (w.add_embedding_length, width), (w.add_block_count, 1), (w.add_feed_forward_length, 32),
        (w.add_head_count, 5), (w.add_head_count_kv, 5), (w.add_layer_norm_rms_eps, 1e-5), (w.add_rope_dimension_count, 64),
        (w.add_vocab_size, rows), (w.add_tokenizer_model, "gpt2"), (w.add_tokenizer_pre, "gpt-2"),
        (w.add_token_list, [*names, "<s>", "</s>"]), (w.add_token_types, [NORMAL] * 256 + [CONTROL] * 2),
        (w.add_token_merges, ["q z"]), (w.add_bos_token_id, 256), (w.add_eos_token_id, 257), (w.add_add_bos_token, True),
    ]:  # fmt: skip
        add(value)
    w.add_tensor("token_embd.weight", embedding)
    w.add_tensor("output.weight", output)
    w.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for part, shape in {
        "attn_norm": (width,), "ffn_norm": (width,), "attn_q": (width, width), "attn_k": (width, width),
        "attn_v": (width, width), "attn_output": (width, width), "ffn_gate": (32, width), "ffn_up": (32, width),
        "ffn_down": (width, 32),
    }.items():  # fmt: skip
        w.add_tensor(f"blk.0.{part}.weight", np.zeros(shape, np.float32))
    finish(w)


def serve(path):
    """Runs llama.cpp's server on a model, in this process, until it is killed."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {Path(path).stem}
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads, params.port = 4096, 4, 1, 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()


def started(path):
    """A server in a process of its own, and its address."""
    command = [sys.executable, __file__, "--serve", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line.startswith("http"):
            return process, line.strip()
    sys.exit("llama.cpp's server does not start")


class Recorder:
    """Stands between a client and a server and keeps what they say, without what changes from run to run."""

    def __init__(self, upstream):
        self.exchanges, lock, recorder = [], threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.forward(None)

            def do_POST(self):
                self.forward(self.rfile.read(int(self.headers["Content-Length"])))

            def forward(self, body):
                request = urllib.request.Request(upstream + self.path, body, {"Content-Type": "application/json"})
                try:
                    with urllib.request.urlopen(request) as answer:
                        status, kind, data = answer.status, answer.headers["Content-Type"], answer.read()
                except urllib.error.HTTPError as error:
                    status, kind, data = error.code, error.headers["Content-Type"], error.read()
                if status == 200:
                    with lock:
                        recorder.exchanges.append(recorder.kept(self.path, body, data.decode()))
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client has heard enough

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def kept(path, body, data):
        request = json.loads(body) if body else None
        if not data.startswith("data:"):
            return {"path": path, "request": request, "answer": json.loads(data)}
        events = [line[6:] for line in data.splitlines() if line.startswith("data: ") and line != "data: [DONE]"]
        events = [{"choices": json.loads(event)["choices"]} for event in events]
        for event in events:
            for token in (event["choices"][0]["logprobs"] or {}).get("content", []):
                for listed in [token, *token["top_logprobs"]]:
                    listed["logprob"] = round(listed["logprob"], 5)
                    if bytes(listed["bytes"]) == listed["token"].encode():
                        del listed["bytes"]
        return {"path": path, "request": request, "events": events}

    def write(self, path):
        once = {json.dumps([e["path"], e["request"]]): e for e in self.exchanges}
        about = {
            "made_by": "tests/python/llama_cpp_server.py --record",
            "server": "llama.cpp's, from PyPI's xllamacpp " + __import__("importlib.metadata").metadata.version("xllamacpp"),
            "left_out": "ids, times and figures of use, which change from run to run; bytes that say the same as the token; decimals",
        }
        lines = ",\n".join(json.dumps(e, ensure_ascii=False, separators=(",", ":")) for e in once.values())
        path.write_text('{"about":' + json.dumps(about) + ',\n"exchanges":[\n' + lines + "\n]}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--razvilka", help="the program to try")
    parser.add_argument("--record", type=Path, help="folder for the exchanges")
    parser.add_argument("--test", nargs=argparse.REMAINDER, help="a command to run with the servers' addresses, last")
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
    with tempfile.TemporaryDirectory() as folder:
        models = {"story": story, "bytes": bytewise}
        servers = {}
        for name, make in models.items():
            path = Path(folder) / f"{name}.gguf"
            make(path)
            servers[name] = started(path)
        try:
            return tried(args, {name: address for name, (_, address) in servers.items()})
        finally:
            for process, _ in servers.values():
                process.kill()


def tried(args, addresses):
    if args.razvilka:
        for name, prompt in [("story", "Once"), ("bytes", "М")]:
            command = [args.razvilka, "generate", "--model", addresses[name], "--prompt", prompt, "--max-tokens", "60"]
            print("$", *command, flush=True)
            if subprocess.run(command, stderr=subprocess.STDOUT).returncode:
                return 1
    if not args.test:
        return 0
    recorders = {name: Recorder(address) for name, address in addresses.items()} if args.record else {}
    for name, recorder in recorders.items():
        addresses[name] = recorder.address
    names = {"RAZVILKA_LLAMA_SERVER": addresses["story"], "RAZVILKA_BYTES_SERVER": addresses["bytes"]}
    code = subprocess.run(args.test, env={**os.environ, **names}).returncode
    for name, recorder in recorders.items():
        recorder.write(args.record / f"{name}.json")
    return code


if __name__ == "__main__":
    sys.exit(main())
