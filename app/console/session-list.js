// The list of sessions, living ones first.
import { make } from "./dom.js";

export const WORDS = { starting: "starting", ready: "ready", ended: "ended", failed: "failed" };

const LIVING = new Set(["starting", "ready"]);
const MOST_OVER = 6;

/** Show sessions as the service lists them; `current` is the one that is open on the page. */
export function showSessions(list, sessions, current, now = Date.now()) {
  const living = sessions.filter(({ status }) => LIVING.has(status));
  const over = sessions.filter(({ status }) => !LIVING.has(status)).slice(0, MOST_OVER);
  const rows = [...living, ...over].map((session) => row(session, session.id === current, now));
  // A list that says the same is left alone: who reads it, or stands on it, is not disturbed.
  const said = JSON.stringify(
    rows.map((each) => [each.className, each.textContent, each.dataset.id]),
  );
  if (list.dataset.said !== said) {
    const focused = list.contains(document.activeElement) && document.activeElement.hash;
    list.replaceChildren(...rows);
    list.dataset.said = said;
    if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
  }
  return living.length;
}

function row({ id, status, created_at: created, end_reason: reason }, isCurrent, now) {
  const words =
    status === "ended" && reason ? `ended: ${reason.replaceAll("_", " ")}` : WORDS[status];
  const item = make(
    "li",
    { class: isCurrent ? `current is-${status}` : `is-${status}` },
    make(
      "a",
      { href: `#${id}`, "aria-current": isCurrent ? "page" : null },
      make("span", { class: "dot" }),
      make("span", { class: "session-name" }, shortId(id)),
      make("span", { class: "session-facts" }, `${words} · ${age(now - Date.parse(created))}`),
    ),
  );
  item.dataset.id = id;
  return item;
}

export function shortId(id) {
  return id.replace(/^sess_/, "").slice(0, 8);
}

function age(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h`;
}
