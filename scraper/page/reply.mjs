// A gateway's reply, in the bytes that wire/src/reply.rs reads: postcard, in sections, signed.
import { createHmac } from "node:crypto";

export const MEDIA_TYPE = "application/vnd.llm-picker.reply";

// Kinds of sections, and numbers of labels and measures: their places in wire/src/reply.rs and wire/src/tally/.
const REPORT = 1, COUNTS = 2, DETAILS = 10;
const LABELS = { pool: 0, request: 2, endpoint: 5 };
const MEASURES = { requests: [0], errors: [1, 5], ttft: [3, 1], itl: [6], outputTokens: [11], dispatched: [12, 0], same: [23, 0], other: [23, 1], expectedTtft: [24],
  observedTtft: [25], overruled: [26], endpointRequests: [27], endpointErrors: [28], endpointTtft: [29], endpointItl: [30], endpointTokens: [31] };

const varint = value => {
  const bytes = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)];
    bytes.push(Number(rest & 127n) | 128);
  }
};
const signed = value => varint(value < 0 ? -2 * value - 1 : 2 * value);
const text = value => { const bytes = [...Buffer.from(value)]; return [...varint(bytes.length), ...bytes]; };
const list = (all, write) => [...varint(all.length), ...all.flatMap(write)];
const maybe = (value, write) => value === null || value === undefined ? [0] : [1, ...write(value)];
const flag = value => [value ? 1 : 0];
const blob = bytes => [...varint(bytes.length), ...bytes];
const double = value => { const bytes = Buffer.alloc(8); bytes.writeDoubleLE(value); return [...bytes]; };
const address = value => {
  const [ip, port] = value.split(":");
  return [0, ...ip.split(".").map(Number), ...varint(port)];
};

const labels = set => set.endpoint ? [LABELS.endpoint, 1, ...address(set.endpoint)]
  : set.model ? [LABELS.request, ...text(set.model), ...text(set.model), ...text(set.tenant), ...signed(set.priority)] : [LABELS.pool];
// A label set: its counts are {sum, buckets} by the measure's name.
const labelSet = set => blob([...labels(set), 1, 0,
  ...list(Object.entries(set.counts), ([name, { sum, buckets }]) => [...MEASURES[name], ...varint(sum), ...list(buckets, varint)]), 0]);

const report = it => [...varint(it.workers), ...varint(it.waiting), ...varint(it.picked), 0, ...varint(it.refused),
  ...list(it.inFlight, row => [...address(row.endpoint), ...varint(row.requests), 0]),
  ...list(it.queues, row => [...signed(row.priority), ...text(row.fairnessId), ...varint(row.requests), ...varint(row.bytes)])];
const counts = it => [...varint(it.session), ...varint(it.number),
  ...list([it.worker], worker => [...varint(worker), 1, ...maybe(it.saturation, double), 0]),
  ...list(it.sets, set => [0, ...labelSet(set)])];
const details = it => [...flag(it.flowControl), ...flag(it.observing), ...maybe(it.limit, varint), 0,
  ...list(it.queues, row => varint(row.oldestMs)), ...list(it.objectives, row => [...text(row.name), ...signed(row.priority)]),
  ...list(it.decisions, row => [...varint(it.worker), ...varint(row.number), ...varint(row.ageMs), ...text(row.text)]), ...list([], varint), ...text("0.1.0")];

// The bytes of a reply that tells all of this.
export function encode(it) {
  const sections = [[REPORT, report(it)], [COUNTS, counts(it)], [DETAILS, details(it)]];
  return Buffer.from([...Buffer.from("LPA"), 1, ...list(sections, ([kind, bytes]) => [kind, ...blob(bytes)])]);
}

// The signature of a reply to a push with these headers.
export function sign(secret, headers, gateway, body) {
  const head = `reply\n${headers["x-llm-picker-time"]}\n${headers["x-llm-picker-sequence"]}\n${gateway}\n`;
  return createHmac("sha256", secret).update(head).update(body).digest("hex");
}
