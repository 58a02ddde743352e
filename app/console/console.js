// Shows this service's own address in the examples, and whether it is ready.
"use strict";

const base = location.href.replace(/[?#].*$/, "").replace(/\/$/, "");
const stream = base.replace(/^http/, "ws");

const examples = {
  create: `curl -X POST ${base}/sessions`,
  stream: `websocat -b ${stream}/sessions/SESSION_ID/stream < hello.pcm`,
  speak: `avatar-bridge speak --url ${base} hello.wav`,
  interrupt: `curl -X POST ${base}/sessions/SESSION_ID/interrupt`,
  end: `curl -X DELETE ${base}/sessions/SESSION_ID`,
};

for (const code of document.querySelectorAll("[data-lines]")) {
  code.textContent = examples[code.dataset.lines];
}

async function ask() {
  const status = document.getElementById("status");
  try {
    const answer = await fetch("readyz");
    const body = await answer.json();
    status.className = answer.ok ? "good" : "bad";
    status.textContent = answer.ok ? "Ready for sessions." : `Not ready: ${body.detail}`;
  } catch {
    status.className = "bad";
    status.textContent = "The service does not answer.";
  }
}

ask();
