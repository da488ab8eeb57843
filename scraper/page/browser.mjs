// A headless Chromium, spoken to over a pipe in its own protocol (CDP): no driver and no package needed.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

// A page that takes longer than this hangs.
const PATIENCE = 20_000;

// How often the profile's removal is tried again, and how long after each other.
const CLEANUPS = 50;
const CLEANUP_EVERY_MS = 100;

export class Browser {
  static async start(program) {
    const profile = mkdtempSync(join(tmpdir(), "llm-picker-chromium-"));
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
      "--disable-background-networking", "--remote-debugging-pipe", `--user-data-dir=${profile}`];
    const child = spawn(program, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    return new Browser(child, profile);
  }

  constructor(child, profile) {
    Object.assign(this, { child, profile, last: 0, waiting: new Map(), listeners: new Map() });
    let rest = "";
    child.stdio[4].setEncoding("utf8").on("data", data => {
      const messages = (rest + data).split("\0");
      rest = messages.pop();
      messages.forEach(message => this.take(JSON.parse(message)));
    });
    child.on("exit", () => this.waiting.forEach(({ reject }) => reject(new Error("Chromium ended"))));
  }

  take(message) {
    const waiting = this.waiting.get(message.id);
    if (!waiting) return this.listeners.get(message.sessionId)?.(message);
    this.waiting.delete(message.id);
    message.error ? waiting.reject(new Error(message.error.message)) : waiting.resolve(message.result);
  }

  send(method, params = {}, sessionId) {
    const id = ++this.last;
    this.child.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  // A page of this size, which notes what its console complains of.
  async open(url, { width, height, dark = false }) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, targetId);
    this.listeners.set(sessionId, message => page.hear(message));
    for (const domain of ["Page", "Runtime", "Log"]) await page.send(`${domain}.enable`);
    await page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
    await page.send("Page.navigate", { url });
    return page;
  }

  async stop() {
    const ended = new Promise(resolve => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
    // Its helper processes end a little later than it does, and write to the profile until then.
    for (let left = CLEANUPS; ; left--) {
      try {
        return rmSync(this.profile, { recursive: true, force: true });
      } catch (error) {
        if (left === 0) throw error;
        await sleep(CLEANUP_EVERY_MS);
      }
    }
  }
}

class Page {
  constructor(browser, sessionId, targetId) {
    Object.assign(this, { browser, sessionId, targetId, complaints: [] });
  }

  hear({ method, params }) {
    if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error") this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  }

  send(method, params) { return this.browser.send(method, params, this.sessionId); }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Waits until the expression is true.
  async until(expression) {
    const deadline = Date.now() + PATIENCE;
    while (!(await this.evaluate(`Boolean(${expression})`))) {
      if (Date.now() > deadline) throw new Error(`never: ${expression}\n${await this.evaluate("document.body.innerText")}`);
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }

  text(selector) { return this.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`); }

  async screenshot() {
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
    return Buffer.from(data, "base64");
  }

  close() { return this.browser.send("Target.closeTarget", { targetId: this.targetId }); }
}
