// A fleet to look at: pods that say what vLLM says, a gateway that takes pushes and reports, and the scraper between.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode, MEDIA_TYPE, sign } from "./reply.mjs";

const SECRET = "0123456789abcdef";

const listen = server => new Promise(resolve => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

// As many pods, in one process. Each has its own load, which moves.
export class Pods {
  static async start(count) {
    const pods = new Pods();
    pods.servers = Array.from({ length: count }, (_, index) => createServer((_, answer) => pods.answer(index, answer)));
    pods.ports = await Promise.all(pods.servers.map(listen));
    return pods;
  }

  answer(index, answer) {
    if (this.broken?.index === index) return answer.writeHead(500).end(this.broken.message);
    const wave = Math.sin(Date.now() / 4000 + index);
    // One token in so many was cached.
    const queried = Math.round(performance.now()), cached = Math.round(queried / (index + 1));
    const lines = [`prefix_cache_queries_total ${queried}`, `prefix_cache_hits_total ${cached}`, `num_requests_waiting ${Math.max(0, Math.round(3 * wave))}`, `num_requests_running ${Math.round(9 + 6 * wave)}`,
      `kv_cache_usage_perc ${(0.45 + 0.35 * wave).toFixed(3)}`];
    answer.end(lines.map(line => `vllm:${line}\n`).join(""));
  }

  // This one refuses connections from now on.
  stop(index) {
    this.servers[index].close();
    this.servers[index].closeAllConnections();
  }

  end() { this.servers.forEach((_, index) => this.stop(index)); }
}

// Takes every push, and tells what it is asked: of requests that end all the time, unless it is idle, at all endpoints but the
// last, which is slow and fails now and then.
export class Gateway {
  static async start({ queues = [], flowControl = true, observing = false, limit = null, idle = false }, endpoints) {
    const gateway = Object.assign(new Gateway(), { queues, flowControl, observing, limit, idle, endpoints, sets: new Map(), ended: 0, decisions: [] });
    gateway.server = createServer((asked, answer) => asked.resume().on("end", () => gateway.answer(asked.headers, answer)));
    gateway.port = await listen(gateway.server);
    return gateway;
  }

  answer(headers, answer) {
    if (headers["x-llm-picker-reply"] === undefined) return answer.writeHead(204).end();
    if (!this.idle) this.serve();
    const { queues, flowControl, observing, limit, endpoints } = this;
    const inFlight = this.idle ? [] : endpoints.map((endpoint, index) => ({ endpoint, requests: 3 + index % 9 }));
    const body = encode({
      workers: 4, worker: 77, session: 1, number: 1, picked: this.ended, refused: 3, inFlight, queues, flowControl, observing, limit,
      waiting: queues.reduce((sum, queue) => sum + queue.requests, 0), saturation: queues.length ? 1.04 : 0.38,
      objectives: [{ name: "nightly-jobs", priority: -10 }], sets: [...this.sets.values()], decisions: this.decisions.map(row => ({ ...row, ageMs: Date.now() - row.at })),
    });
    const id = "000000000000004d";
    answer.writeHead(200, { "content-type": MEDIA_TYPE, "x-llm-picker-gateway": id, "x-llm-picker-signature": sign(SECRET, headers, id, body) });
    answer.end(body);
  }

  // Two requests end at each endpoint.
  serve() {
    this.endpoints.forEach((endpoint, index) => {
      const isSlow = index > 0 && index === this.endpoints.length - 1, [model, tenant] = index % 3 ? ["qwen", "interactive"] : ["llama", "nightly"];
      for (const ttft of isSlow ? [11, 12] : [2, 3]) {
        this.ended += 1;
        const fails = isSlow && this.ended % 5 === 0;
        const request = { model, tenant, priority: tenant === "nightly" ? -10 : 100 };
        this.count(request, { requests: 1, outputTokens: 64, ttft: [ttft, 30_000 * ttft], itl: [3, 15_000], dispatched: [0, 50], ...(fails && { errors: 1 }) });
        this.count({ endpoint }, { endpointRequests: 1, endpointTokens: 64, endpointTtft: [ttft, 30_000 * ttft], endpointItl: [3, 15_000], ...(fails && { endpointErrors: 1 }) });
        if (this.observing) this.count({}, ttft === 3 ? { other: 1, overruled: 1 } : { same: 1, expectedTtft: [2, 60_000], observedTtft: [3, 90_000] });
      }
    });
    const [endpoint] = this.endpoints, number = this.ended;
    this.decisions.push({ number, at: Date.now(), text: `endpoint=${endpoint};ttft=1.00;score=1.00;prefix-hit=0.75;prompt-tokens=1400;hit-tokens=1050;`
      + `backlog-ms=12;expected-ttft-ms=47;runner-up=${this.endpoints.at(-1)};runner-up-ttft-ms=390;candidates=${this.endpoints.length};priority=100;`
      + `fairness-id=interactive;model=qwen;waited-ms=0;ttft-ms=61;status=200` });
    this.decisions.splice(0, this.decisions.length - 8);
  }

  // Adds to counters, and to histograms a value in the bucket of this number.
  count(labels, more) {
    const key = JSON.stringify(labels), set = this.sets.get(key) ?? { ...labels, counts: {} };
    this.sets.set(key, set);
    for (const [name, value] of Object.entries(more)) {
      const count = set.counts[name] ??= { sum: 0, buckets: [] }, [bucket, sum] = Array.isArray(value) ? value : [null, value];
      count.sum += sum;
      if (bucket === null) continue;
      while (count.buckets.length <= bucket) count.buckets.push(0);
      count.buckets[bucket] += 1;
    }
  }

  end() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

// The program itself.
export class Scraper {
  static async start(program, { pods, labels = [], gateway, objectives = [] }) {
    const folder = mkdtempSync(join(tmpdir(), "llm-scraper-page-"));
    const file = join(folder, "endpoints");
    writeFileSync(file, pods.ports.map((port, index) => `127.0.0.1:${port} ${labels[index] ?? ""}\n`).join(""));
    const args = ["--endpoints-file", file, "--listen", "127.0.0.1:0", "--interval", "200ms"];
    args.push(...objectives.flatMap(objective => ["--objective", objective]));
    args.push(...(gateway ? ["--envoy", `http://127.0.0.1:${gateway.port}`] : ["--pull"]));
    const env = { ...process.env, LLM_PICKER_SECRET: SECRET };
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "ignore"] });
    const address = await new Promise((resolve, reject) => {
      child.stdout.once("data", data => resolve(String(data).trim().replace("listening: ", "")));
      child.once("exit", code => reject(new Error(`llm-scraper ended with ${code}`)));
    });
    return Object.assign(new Scraper(), { folder, child, address });
  }

  async end() {
    if (this.child.exitCode === null) {
      const ended = new Promise(resolve => this.child.once("exit", resolve));
      this.child.kill("SIGTERM");
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
