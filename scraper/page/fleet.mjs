// A fleet to look at: pods that say what vLLM says, a gateway that takes pushes and reports, and the scraper between.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

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

// Takes every push, and tells what it is asked.
export class Gateway {
  static async start(queues, endpoints) {
    const gateway = new Gateway();
    let picked = 0;
    gateway.server = createServer((asked, answer) => {
      asked.resume().on("end", () => {
        picked += 2;
        if (asked.headers.accept !== "application/json") return answer.writeHead(204).end();
        const inFlight = endpoints.map((endpoint, index) => ({ endpoint, requests: 3 + index % 9, tokens: 0 }));
        const waiting = queues.reduce((sum, queue) => sum + queue.requests, 0);
        answer.setHeader("content-type", "application/json");
        answer.end(JSON.stringify({ workers: 4, waiting, decisions: { picked, failedOpen: 0, refused: 3 }, inFlight, queues }));
      });
    });
    gateway.port = await listen(gateway.server);
    return gateway;
  }

  end() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

// The program itself.
export class Scraper {
  static async start(program, { pods, labels = [], gateway }) {
    const folder = mkdtempSync(join(tmpdir(), "llm-scraper-page-"));
    const file = join(folder, "endpoints");
    writeFileSync(file, pods.ports.map((port, index) => `127.0.0.1:${port} ${labels[index] ?? ""}\n`).join(""));
    const args = ["--endpoints-file", file, "--listen", "127.0.0.1:0", "--interval", "200ms"];
    args.push(...(gateway ? ["--envoy", `http://127.0.0.1:${gateway.port}`] : ["--pull"]));
    const env = { ...process.env, LLM_PICKER_SECRET: "0123456789abcdef" };
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
