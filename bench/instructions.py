#!/usr/bin/env python3
"""Instructions per request of a whole Envoy, without the picker and with it, counted by callgrind.

Counts don't depend on what else the machine does, so two builds can be told apart by half a percent where clocks tell
ten at best. One worker, one client; needs valgrind, and what ./build.sh has built. The answer is the median of some
rounds: now and then something is done that belongs to no request, as growing a table, and a mean would depend on how
many requests share it.

    bench/instructions.py [BYTES [REQUESTS [WASM]]]
"""
import http.client, http.server, json, os, pathlib, socket, statistics, subprocess, sys, tempfile, threading, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECRET = "0123456789abcdef0123456789abcdef"
# Requests that are not read, by the names of the first argument.
UNREAD = ("health", "opaque")
# Before counting: V8 compiles a function when it is first called.
WARM_UP = 200
# The requests that are counted come in so many rounds.
ROUNDS = 7
# Valgrind takes Envoy this long to start, in seconds.
PATIENCE = 120
METRICS = (b'vllm:num_requests_running{engine="0"} 0.0\nvllm:num_requests_waiting{engine="0"} 0.0\n'
           b'vllm:kv_cache_usage_perc{engine="0"} 0.0\n')
# Prose and code with the escapes that clients in Python write.
PARAGRAPH = ('The reviewer wrote: "It does not compile since the last change".\nPlease find out what has changed and say why '
             'it went\nwrong \u2014 the caf\u00e9 demo is on Friday.\n\n\tlet path = root()?.join("data").join(name);\n')


class Pod(http.server.BaseHTTPRequestHandler):
    """A server that answers at once."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer("text/plain", METRICS)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer("application/json", b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def without_filters(template):
    """The same Envoy with our filters cut out."""
    kept, cut = [], False
    for line in template.splitlines(True):
        name = line.strip()
        if name in ("- name: llm-picker", "- name: llm-picker-ingest"):
            cut = True
        elif name == "- name: envoy.filters.http.router":
            cut = False
        if not cut:
            kept.append(line)
    return "".join(kept)


def bootstrap(pods, ports, wasm):
    template = (ROOT / "envoy/local/stop-iteration-header.yaml").read_text()
    plugin = json.loads((ROOT / "envoy/local/plugin.json").read_text())
    plugin["envoy"] = {"hold": "stopIteration", "destination": "header", "servedByHeader": "x-served-by"}
    plugin["failureMode"] = "FailClose"
    plugin["decisionHeader"] = True
    address = lambda port: {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    values = {
        "GATEWAY_PORT": ports[0], "ADMIN_PORT": ports[1], "INGEST_PORT": ports[2], "WASM": wasm,
        "PLUGIN_JSON": json.dumps(json.dumps(plugin)),
        "INGEST_JSON": json.dumps(json.dumps({"ingest": {"secretEnv": "LLM_PICKER_SECRET"}})),
        "ENDPOINTS": json.dumps([{"endpoint": address(pod)} for pod in pods]),
    }
    text = template if wasm else without_filters(template)
    for name, value in values.items():
        text = text.replace("${%s}" % name, str(value))
    return text


def envoy_binary():
    """The program itself: the package's own `envoy` is a script around it, which valgrind would count."""
    start = pathlib.Path(os.environ.get("LLM_PICKER_ENVOY", ROOT / "target/envoy-venv/bin/envoy"))
    found = list(start.resolve().parent.parent.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return found[0] if found else start


def wait_for(port, path):
    for _ in range(PATIENCE):
        time.sleep(1)
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
    raise SystemExit(f"nothing answers on 127.0.0.1:{port}{path} after {PATIENCE} s")


def ask(port, what, numbers):
    """Sends requests that are not read: GET /health, or a body of no form."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in numbers:
        if what == "health":
            connection.request("GET", "/health")
        else:
            connection.request("POST", "/any", b"x" * 1024, {"content-type": "application/octet-stream"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise SystemExit(f"answered {response.status}: the count would mean nothing")


def send(port, size, numbers):
    if isinstance(size, str):
        return ask(port, size, numbers)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    text = PARAGRAPH * max(1, size // len(PARAGRAPH))
    for number in numbers:
        shared, own = text[:size // 2], f"{number:09} {text[size // 2:]}"
        messages = [{"role": "system", "content": shared}, {"role": "user", "content": own}]
        body = json.dumps({"model": "tiny", "max_tokens": 1, "messages": messages})
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise SystemExit(f"answered {response.status}: the count would mean nothing")


def totals(folder):
    """The sums of all dumps so far."""
    parts = [part.read_text(errors="replace") for part in pathlib.Path(folder).glob("counts*")]
    return [int(line.split()[1]) for part in parts for line in part.splitlines() if line.startswith("totals:")]


def count(pods, wasm, size, requests):
    """Instructions per request, with a filter or, where that is None, without."""
    ports = [free_port() for _ in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "envoy.yaml")
        file.write_text(bootstrap(pods, ports, wasm))
        out = pathlib.Path(folder, "counts")
        env = {**os.environ, "LLM_PICKER_SECRET": SECRET}
        envoy = subprocess.Popen(
            ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--smc-check=all-non-file",
             f"--callgrind-out-file={out}", envoy_binary(), "--config-path", file, "--concurrency", "1",
             "--disable-hot-restart", "--log-level", "error"], env=env)
        control = lambda *what: subprocess.run(["callgrind_control", *what, str(envoy.pid)], check=True, capture_output=True)
        try:
            wait_for(ports[1], "/ready")
            if wasm:
                # One snapshot and no more: how many fall into the count must not depend on how long it takes.
                scraper = subprocess.Popen(
                    [ROOT / "dist/llm-scraper", "--pool", "default", "--interval", "1s", "--listen", "127.0.0.1:0",
                     "--envoy", f"http://127.0.0.1:{ports[2]}",
                     *(word for pod in pods for word in ("--endpoint", f"127.0.0.1:{pod}"))],
                    env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(8)
                scraper.terminate()
                scraper.wait()
            send(ports[0], size, range(WARM_UP))
            each = max(1, requests // ROUNDS)
            for first in range(WARM_UP, WARM_UP + each * ROUNDS, each):
                control("-i", "on")
                send(ports[0], size, range(first, first + each))
                control("-i", "off")
                # The dump begins the next count at zero.
                control("-d")
            time.sleep(1)
            counted = [total for total in totals(folder) if total]
        finally:
            envoy.terminate()
            envoy.wait()
    if len(counted) < ROUNDS:
        raise SystemExit(f"callgrind wrote {len(counted)} counts of {ROUNDS}")
    return statistics.median(counted) / each


def main():
    size = sys.argv[1] if len(sys.argv) > 1 else "1024"
    size = size if size in UNREAD else int(size)
    requests = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pod) for _ in range(3)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    pods = [server.server_address[1] for server in servers]
    wasm = pathlib.Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else ROOT / "dist/llm-picker.wasm"
    plain, filtered = (count(pods, file, size, requests) for file in (None, wasm))
    print(f"{size if size in UNREAD else f'{size} bytes'}, {requests} requests, instructions each: plain Envoy {plain:,.0f}, {wasm.stem} {filtered:,.0f}, "
          f"added {filtered - plain:,.0f}")


if __name__ == "__main__":
    main()
