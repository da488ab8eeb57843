// The status page in a real browser, over the real scraper. Leaves a picture of each story in target/page/.
// node scraper/page/test.mjs: needs dist/llm-scraper and a Chromium (CHROMIUM, or on the PATH).
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Browser } from "./browser.mjs";
import { Gateway, Pods, Scraper } from "./fleet.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PROGRAM = join(ROOT, "dist/llm-scraper");
const WIDE = { width: 1280, height: 1180 };
const NARROW = { width: 390, height: 844 };
// What a stranger may put into a label, an error message or a tenant's name. No blanks: a label ends there.
const HOSTILE = "<img/src=x/onerror=window.pwned=1>";
const QUEUES = [
  { priority: 100, fairnessId: "interactive", requests: 3, bytes: 18400, oldestMs: 900 },
  { priority: 0, fairnessId: HOSTILE, requests: 31, bytes: 1298400, oldestMs: 4100 },
  { priority: -10, fairnessId: "nightly", requests: 4, bytes: 8400, oldestMs: 2600 },
];

let browser;
before(async () => { browser = await Browser.start(process.env.CHROMIUM ?? "chromium"); });
after(() => browser.stop());

// A story over so many pods, with what it needs around it.
async function story(t, { count, size, labels, quiet = false, dark, ...gate }, tell) {
  const pods = await Pods.start(count);
  const gateway = quiet ? null : await Gateway.start(gate, pods.ports.map(port => `127.0.0.1:${port}`));
  const scraper = await Scraper.start(PROGRAM, { pods, labels, gateway, objectives: ["chat=100", "batch=-10"] });
  const page = await browser.open(scraper.address, { ...size, dark });
  t.after(async () => { await page.close(); await scraper.end(); gateway?.end(); pods.end(); });
  await page.until("document.querySelector('#about')?.textContent");
  await tell(page, { pods, gateway, scraper });
  const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
  assert.ok(overflow <= 0, `it is ${overflow} px too wide`);
  assert.equal(await page.evaluate("window.pwned"), undefined);
  mkdirSync(join(ROOT, "target/page"), { recursive: true });
  writeFileSync(join(ROOT, "target/page", `${t.name.replaceAll(/[^a-z0-9]+/gi, "-")}.png`), await page.screenshot());
}

const rows = page => page.evaluate("document.querySelectorAll('#pods tr').length");

test("three pods", t => story(t, { count: 3, size: WIDE, queues: QUEUES, limit: 64 }, async (page, { pods }) => {
  await page.until("document.querySelector('#health').textContent === 'All well'");
  await page.until("model.times.length > 3 && model.rates.placed.at(-1) > 0");
  assert.equal(await rows(page), 3);
  assert.match(await page.text("#tiles"), /In flight\s+12/);
  assert.match(await page.text("#tiles"), /Held in gateways\s+38/);
  // By its port: rows are in the order of addresses, and ports are as they come.
  await page.until(`[...document.querySelectorAll('#pods tr')].some(row =>
    row.innerText.includes(':${pods.ports[1]}') && /up, read \\d+ ms ago/.test(row.innerText) && /\\s50%/.test(row.innerText))`);
  assert.match(await page.text("#tiles"), /Prefix hits\s+61%/, "the mean of 100, 50 and 33");
  const bands = await page.text("#bands");
  assert.match(bands, /Priority 100 · chat[\s\S]*interactive[\s\S]*under 1 s[\s\S]*Priority 0\s[\s\S]*oldest 4 s[\s\S]*Priority -10 · batch, nightly-jobs[\s\S]*nightly/);
  // Of ten requests that are let go, two thirds are the tenant's of the highest band.
  await page.until("/6[67]% of what was let go/.test(document.querySelector('#bands').innerText)");
  assert.match(await page.text("#limits"), /saturation 104%\s+limit found: 64 requests in flight/);
  assert.match(await page.text("#models"), /qwen[\s\S]*\d+ ms, \d+ ms, \d+ ms[\s\S]*llama/);
  assert.match(await page.text("#tiles"), /First token, p50\s+\d+ ms\s+p95 [\d.]+ m?s, p99[\s\S]*Between tokens, p50\s+\d+ ms/);
  const slow = `[...document.querySelectorAll('#pods tr')].find(row => row.innerText.includes(':${pods.ports[2]}')).innerText`;
  assert.match(await page.evaluate(slow), /2 s, 2\.\d+ s/, "the slow one's first tokens");
  assert.match(await page.evaluate(slow), /0\.\d+/, "and its errors");
  await page.until("document.querySelectorAll('#log .decision').length >= 4");
  assert.match(await page.text("#log"), /first token 61 ms\s+expected 47 ms[\s\S]*hit-tokens 1050[\s\S]*runner-up-ttft-ms 390/);
  assert.match(await page.text("#gateways"), /takes snapshots\s+4 workers/);
  assert.deepEqual(page.complaints, []);
}));

test("three pods in the dark", t => story(t, { count: 3, size: WIDE, queues: QUEUES, dark: true }, async page => {
  await page.until("model.times.length > 1");
  assert.equal(await page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(14, 17, 22)");
  await page.evaluate("document.querySelector('#theme').click()");
  assert.equal(await page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(246, 247, 249)");
  await page.evaluate("document.querySelector('#theme').click(), localStorage.clear()");
}));

test("a pod goes down and comes to be told in words", t => story(t, { count: 4, size: WIDE }, async (page, { pods }) => {
  await page.until("model.times.length > 1");
  pods.stop(2);
  await page.until("document.querySelector('#problems').innerText.includes('connection refused')");
  const said = await page.text("#problems");
  assert.match(said, new RegExp(`1 of 4 pods of pool default is down: 127.0.0.1:${pods.ports[2]} \\(connection refused\\)`));
  assert.equal(await page.text("#health"), "1 problem");
  assert.equal(await page.evaluate("document.querySelector('#health').className"), "pill warning", "three of four serve");
  assert.match(await page.evaluate("document.querySelector('#pods tr').innerText"), /down/, "the worst stands first");
  assert.match(await page.text("#pods-sum"), /3 up, 1 down/);
}));

test("a band that starves turns the page amber", t => story(t, { count: 3, size: WIDE, queues: [
  { priority: 10, fairnessId: "batch-a", requests: 60, bytes: 9000, oldestMs: 52_400 }, QUEUES[0]] }, async page => {
  await page.until("document.querySelector('#problems').innerText.includes('wait at priority 10')");
  assert.match(await page.text("#problems"), /Note\s+60 requests wait at priority 10 of pool default, the oldest for 52s; none was let go within the last minute/);
  assert.equal(await page.evaluate("document.querySelector('#health').className"), "pill warning");
  assert.match(await page.text("#tiles"), /Held in gateways\s+63\s+the oldest for 52 s/);
}));

test("nothing to do", t => story(t, { count: 3, size: WIDE, idle: true }, async page => {
  await page.until("model.times.length > 2 && document.querySelector('#health').textContent === 'All well'");
  assert.match(await page.text("#tiles"), /First token, p50\s+–\s+no request ended lately/);
  assert.match(await page.text("body"), /No request ended within the last minute[\s\S]*No request waits: each finds room[\s\S]*No gateway has told of a decision yet/);
}));

test("flow control is off", t => story(t, { count: 3, size: WIDE, flowControl: false }, async page => {
  await page.until("model.times.length > 2");
  assert.match(await page.text("#bands"), /Flow control is off/);
}));

test("the picker looks on", t => story(t, { count: 3, size: WIDE, observing: true, limit: 10 }, async page => {
  await page.until("/67% of \\d+ requests/.test(document.querySelector('#observe').innerText)");
  const seen = await page.text("#observe");
  assert.match(seen, /as expected p50, p95, p99\s+38 ms, 49 ms, 50 ms/);
  assert.match(seen, /as it came p50, p95, p99\s+75 ms, 98 ms, 100 ms/);
  assert.match(seen, /Queue that would stand now\s+2 requests/, "12 in flight, and a limit of 10");
}));

test("hostile names stay names", t => {
  const labels = [`app=${HOSTILE}`, `${HOSTILE.replaceAll("=", "")}=1`];
  return story(t, { count: 3, size: WIDE, labels, queues: QUEUES }, async (page, { pods }) => {
    pods.broken = { index: 1, message: HOSTILE };
    await page.until("document.querySelector('#problems').innerText.includes('<img/src')");
    await page.until("document.querySelector('#pods').innerText.includes('app=<img/src')");
    assert.match(await page.text("#bands"), /<img\/src=x/);
    assert.equal(await page.evaluate("document.images.length"), 0);
    // Should the script ever fail at it, the policy still stands in the way.
    await page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.pwned = 2'}))");
    assert.equal(await page.evaluate("window.pwned"), undefined);
    assert.ok(page.complaints.some(complaint => complaint.includes("Content Security Policy")), page.complaints.join("\n"));
  });
});

test("300 pods", t => story(t, { count: 300, size: { width: 1280, height: 1400 } }, async page => {
  await page.until("model.times.length > 4 && document.querySelectorAll('#map button').length === 300");
  assert.equal(await rows(page), 24);
  await page.evaluate("document.querySelector('#more').click()");
  assert.equal(await rows(page), 300);
  const port = await page.evaluate("[...model.pools.get('default').pods.keys()][200].split(':')[1]");
  await page.evaluate(`(find => { find.value = "${port}"; find.dispatchEvent(new Event("input")); })(document.querySelector('#find'))`);
  assert.equal(await rows(page), 1);
  await page.evaluate("(find => { find.value = ''; find.dispatchEvent(new Event('input')); })(document.querySelector('#find'))");
  await page.evaluate("document.querySelector('#more').click()");
  const took = await page.evaluate("(() => { const from = performance.now(); draw(); return performance.now() - from; })()");
  t.diagnostic(`drawing 300 pods takes ${took.toFixed(1)} ms`);
}));

test("on a telephone", t => story(t, { count: 3, size: NARROW, queues: QUEUES }, async page => {
  await page.until("model.times.length > 1");
  assert.equal(await rows(page), 3);
}));

test("300 pods on a telephone", t => story(t, { count: 300, size: NARROW, queues: QUEUES }, async page => {
  await page.until("model.times.length > 2");
  assert.equal(await rows(page), 24);
}));

test("no pods and no gateway", t => story(t, { count: 0, size: WIDE, quiet: true }, async page => {
  await page.until("document.querySelector('#problems').innerText.includes('has no pods')");
  const said = await page.text("body");
  assert.match(said, /No gateway gets snapshots/);
  assert.match(said, /This pool has no pods/);
  assert.match(said, /No gateway has told of a decision yet/);
}));

test("the scraper ends", t => story(t, { count: 3, size: WIDE, queues: QUEUES }, async (page, { scraper }) => {
  await page.until("model.times.length > 1");
  await scraper.end();
  await page.until("document.querySelector('#health').textContent === 'Scraper gone'");
  assert.match(await page.text("#problems"), /The scraper does not answer since .*what it said last/);
  assert.equal(await rows(page), 3, "what was known is still shown");
}));

test("its JSON only brings what is new", async t => {
  const pods = await Pods.start(2);
  const scraper = await Scraper.start(PROGRAM, { pods });
  t.after(async () => { await scraper.end(); pods.end(); });
  const ask = async query => (await fetch(`${scraper.address}/api/v1/status${query}`)).json();
  let all = await ask("");
  while (all.times.length < 2) all = await ask("");
  const more = await ask(`?after=${all.next}&epoch=${encodeURIComponent(all.epoch)}`);
  assert.ok(more.times.length <= 1, "no column twice");
  assert.ok((await ask(`?after=${all.next}&epoch=another`)).times.length >= all.times.length, "another life of the scraper");
  assert.ok((await ask("?after=nonsense")).times.length >= all.times.length);
});
