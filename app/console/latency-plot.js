// Shows the latencies: a line for each utterance with a point where each thing happened.
import { make } from "./dom.js";

const POINTS = [
  ["sent", "sent to the room"],
  ["started", "started to sound"],
  ["frame", "first frame seen here"],
];
const SCALES = [250, 500, 1000, 2000, 3000, 5000, 10_000, 30_000];

/** Show the median of the last thing that is known. */
export function showMedian(figure, words, latency) {
  const frame = latency.median("frame");
  const ms = frame ?? latency.median("started");
  const last = ms !== null && frame === null ? "first sound" : "first frame";
  figure.textContent = ms === null ? "–" : `${ms} ms`;
  words.textContent = `from first byte to ${last}${ms === null ? "" : ", median"}`;
}

/** Show the latest utterances. */
export function showLatency(element, latency) {
  const longest = Math.max(
    0,
    ...latency.rows.flatMap(({ sent, started, frame }) => [sent ?? 0, started ?? 0, frame ?? 0]),
  );
  const scale = SCALES.find((each) => each >= longest) ?? longest;
  const rows = latency.rows.map((row) => {
    const line = make("span", { class: "latency-line" });
    const told = [];
    for (const [name, words] of POINTS) {
      if (row[name] === null) continue;
      const point = make("span", {
        class: `latency-point latency-${name}`,
        title: `${words}: ${row[name]} ms`,
      });
      point.style.left = `${(row[name] / scale) * 100}%`;
      line.append(point);
      told.push(`${words} after ${row[name]} ms`);
    }
    const last = row.frame ?? row.started ?? row.sent;
    const total = last === null ? "–" : `${last} ms`;
    return make(
      "li",
      { "aria-label": `Utterance ${row.number}: ${told.join(", ") || "nothing"}` },
      make("span", { class: "latency-number", "aria-hidden": "true" }, String(row.number)),
      line,
      make("span", { class: "latency-total", "aria-hidden": "true" }, total),
    );
  });
  element.replaceChildren(make("ol", { class: "latency" }, ...rows));
  if (rows.length) {
    element.append(
      make(
        "p",
        { class: "latency-scale", "aria-hidden": "true" },
        make("span", {}, "0"),
        make("span", {}, `${scale} ms`),
      ),
    );
  }
}
