// Pictures of the status page for the documents, of the whole stack under load.
// node scraper/page/shoot.mjs: needs what ./build.sh makes, and a Chromium (CHROMIUM, or on the PATH).
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Browser } from "./browser.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const SECONDS = 75;
// Three tenants, each with so many clients, which ask again as soon as they have their answer.
const CLIENTS = [["interactive", "chat-app", 10], ["batch", "nightly-a", 20], ["batch", "nightly-b", 8]];
const CONFIG = {
  decisionHeader: true,
  featureGates: ["flowControl"],
  plugins: [{ type: "concurrency-detector", parameters: { maxConcurrency: 8 } }, { type: "round-robin-fairness-policy" }],
  flowControl: { saturationDetector: { pluginRef: "concurrency-detector" }, defaultPriorityBand: { fairnessPolicyRef: "round-robin-fairness-policy" } },
  objectives: [{ name: "interactive", priority: 100 }, { name: "batch", priority: 10 }],
};
const LENGTH = 40; // tokens of an answer

// The stack's gateway and page, as its output names them.
async function start(folder) {
  const config = join(folder, "picker.json");
  writeFileSync(config, JSON.stringify(CONFIG));
  const child = spawn(join(ROOT, "dist/llm-picker-stack"), ["--port", "0", "--config", config], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  return new Promise((resolve, reject) => {
    child.once("exit", code => reject(new Error(`the stack ended with ${code}`)));
    child.stdout.setEncoding("utf8").on("data", data => {
      said += data;
      const page = said.match(/^page: +(\S+)/m)?.[1], gateway = said.match(/^ready: +(\S+)/m)?.[1];
      if (page && gateway) resolve({ child, page, gateway });
    });
  });
}

// One client, until the time is over: its conversation grows by a turn each.
async function talk(gateway, [objective, tenant], number, until) {
  const model = "tiny";
  let turns = [];
  while (Date.now() < until) {
    turns = turns.length > 8 ? [] : turns;
    turns.push({ role: "user", content: `${tenant} ${number} asks: ${"how does this go on? ".repeat(40)}` });
    const headers = { "content-type": "application/json", "x-llm-d-inference-objective": objective, "x-llm-d-inference-fairness-id": tenant };
    await ask(`${gateway}/v1/chat/completions`, headers, { model, stream: true, stream_options: { include_usage: true }, max_tokens: LENGTH, messages: turns });
    turns.push({ role: "assistant", content: `answer ${turns.length}` });
  }
}

function ask(url, headers, body) {
  return new Promise(resolve => {
    const asked = request(url, { method: "POST", headers }, answer => answer.resume().on("end", resolve).on("error", resolve));
    asked.on("error", resolve).end(JSON.stringify(body));
  });
}

const folder = mkdtempSync(join(tmpdir(), "llm-picker-shoot-"));
const browser = await Browser.start(process.env.CHROMIUM ?? "chromium");
const stack = await start(folder);
try {
  const until = Date.now() + SECONDS * 1000;
  const clients = CLIENTS.flatMap(kind => Array.from({ length: kind[2] }, (_, number) => talk(stack.gateway, kind, number, until)));
  const pages = [["status-page", { width: 1280, height: 1000 }], ["status-page-phone", { width: 390, height: 844, dark: true }]];
  const open = await Promise.all(pages.map(([, size]) => browser.open(stack.page, size)));
  await new Promise(resolve => setTimeout(resolve, (SECONDS - 5) * 1000));
  for (const [at, [name]] of pages.entries()) writeFileSync(join(ROOT, "docs", `${name}.png`), await open[at].screenshot());
  await Promise.all(clients);
} finally {
  stack.child.removeAllListeners("exit").kill("SIGTERM");
  await browser.stop();
  rmSync(folder, { recursive: true, force: true });
}
