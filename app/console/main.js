// Puts the page together: the key, the list of sessions, the form that starts one, and the stage.
import { copy, find } from "./dom.js";
import { curl } from "./curl.js";
import { ApiKey } from "./key.js";
import { Log } from "./log.js";
import { LogView } from "./log-view.js";
import { Memory } from "./memory.js";
import { Notice } from "./notice.js";
import { Service } from "./service.js";
import { showSessions } from "./session-list.js";
import { Stage } from "./stage.js";

const LIST_MS = 3000;
const BASE = new URL(".", document.baseURI).href.replace(/\/$/, "");

const key = new ApiKey(sessionStorage);
const log = new Log();
const logView = new LogView(find("log"), find("log-group"), find("log-text"), log, (call) =>
  curl(BASE, call, service.needsKey),
);
const service = new Service(key, (call) => logView.add(log.call(call)));
const notice = new Notice(find("notice"));
const stage = new Stage(service, notice, log, logView, BASE, new Memory(sessionStorage));
stage.onChange = () => refresh();
let names = { face: "replica_id", pal: "persona_id" };

// --- the key

/** Do something that needs a credential; asks for the key as often as it takes. */
async function withKey(what) {
  for (;;) {
    try {
      return await what();
    } catch (problem) {
      if (problem.code !== "unauthorized") throw problem;
      await askForKey(Boolean(key.value));
    }
  }
}

function askForKey(wrong) {
  const dialog = find("key-dialog");
  find("key-wrong").hidden = !wrong;
  find("key-change").hidden = false;
  find("key").value = "";
  if (!dialog.open) dialog.showModal();
  find("key").focus();
  return new Promise((done) => {
    dialog.addEventListener(
      "close",
      () => {
        const typed = find("key").value;
        if (typed) key.set(typed, find("key-keep").checked); // else it was closed, with Escape
        find("key").value = "";
        done();
      },
      { once: true },
    );
  });
}

find("key-change").addEventListener("click", async () => {
  await askForKey(false);
  await refresh();
});

// --- the service's health and its sessions

let refreshing = false;

async function refresh() {
  if (document.hidden || refreshing) return;
  refreshing = true;
  try {
    const page = await withKey(() => service.get("sessions?limit=50", { quiet: true }));
    const living = showSessions(find("sessions"), page.data, current());
    find("session-count").textContent = living ? `${living} live` : "";
    find("sessions-empty").hidden = page.data.length > 0;
    healthy("good", "Ready");
    notice.clear("service");
    const open = page.data.find(({ id }) => id === stage.id);
    if (open && ["ended", "failed"].includes(open.status)) stage.show(open);
  } catch (problem) {
    healthy("bad", problem.code === "unreachable" ? "No answer" : problem.title);
    notice.problem(problem, "service");
  } finally {
    refreshing = false;
  }
}

function healthy(how, words) {
  const health = find("health");
  health.dataset.state = how;
  const text = health.querySelector(".health-text");
  if (text.textContent !== words) text.textContent = words;
}

// --- starting a session

function wish() {
  const form = new FormData(find("start-form"));
  return {
    [names.face]: form.get("face"),
    [names.pal]: form.get("pal"),
    audio_path: form.get("audio_path"),
    ...(form.has("interrupt_on_user_speech") ? { interrupt_on_user_speech: true } : {}),
    ...(form.has("renew") ? { renew: true } : {}),
  };
}

find("start-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = find("start-form").querySelector("[type=submit]");
  button.disabled = true;
  stage.unmute();
  try {
    const session = await withKey(() => service.post("sessions", wish()));
    notice.clear();
    location.hash = session.id;
    find("main").focus(); // the form, where the focus was, goes
    refresh();
  } catch (problem) {
    notice.problem(problem);
  } finally {
    button.disabled = false;
  }
});

find("start-curl").addEventListener("click", ({ target }) =>
  copy(curl(BASE, { method: "POST", path: "sessions", body: wish() }, service.needsKey), target),
);

async function prefill() {
  const defaults = await withKey(() => service.get("console", { quiet: true }));
  service.needsKey = defaults.needs_key;
  const form = find("start-form").elements;
  names = { face: defaults.face?.name ?? names.face, pal: defaults.pal?.name ?? names.pal };
  form.face.value = defaults.face?.value ?? "";
  form.pal.value = defaults.pal?.value ?? "";
  form.audio_path.value = defaults.audio_path;
  find("start-form").querySelector("[type=submit]").disabled = false;
  find("start-room").textContent =
    defaults.room === "sandbox"
      ? "This service runs with the sandbox: nothing leaves this machine, nothing costs money."
      : "This service runs with Tavus: a session costs money until it ends.";
}

// --- which session the page shows

function current() {
  const id = decodeURIComponent(location.hash.slice(1));
  return /^sess_\w+$/.test(id) ? id : null;
}

async function route() {
  const id = current();
  if (id === stage.id && id) return;
  stage.close();
  find("start").hidden = id !== null;
  find("session").hidden = id === null;
  if (id === null) {
    document.title = "Avatar Bridge";
    return;
  }
  try {
    const view = await withKey(() => service.get(`sessions/${id}`, { quiet: true }));
    if (current() !== id) return;
    stage.open(view);
    stage.unmute();
    document.title = `${find("session-title").textContent} · Avatar Bridge`;
  } catch (problem) {
    notice.problem(problem, problem.retryable ? "service" : null);
    if (problem.code === "session_not_found") location.hash = "";
  } finally {
    refresh();
  }
}

addEventListener("hashchange", route);
addEventListener("pagehide", () => stage.remember());
document.addEventListener("visibilitychange", refresh);
for (const link of [find("new"), find("another"), document.querySelector(".brand")]) {
  link.addEventListener("click", () => setTimeout(() => find("main").focus()));
}
// On a phone the list is folded; a wide page always shows it.
const wide = matchMedia("(min-width: 56rem)");
const fold = () => (find("rail").open = wide.matches);
wide.addEventListener("change", fold);
fold();

try {
  await prefill();
} catch (problem) {
  notice.problem(problem, "service");
}
await route();
await refresh();
setInterval(refresh, LIST_MS);
