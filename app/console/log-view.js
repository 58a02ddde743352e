// The event log on the page, the newest on top; each entry opens to what was really said.
import { copy, make } from "./dom.js";
import { matches } from "./log.js";

const MOST = 300;

export class LogView {
  #rows = new Map();

  /** `toCurl(call)` writes a call as a line for a shell. */
  constructor(list, group, text, log, toCurl) {
    Object.assign(this, { list, group, text, log, toCurl });
    group.addEventListener("change", () => this.#filter());
    text.addEventListener("input", () => this.#filter());
  }

  add(entry) {
    const row = this.#row(entry);
    row.hidden = !this.#wanted(entry);
    this.#rows.set(entry.number, { entry, row });
    const reading = this.list.scrollTop > 0;
    const before = this.list.scrollHeight;
    this.list.prepend(row);
    // Who reads further down is not moved.
    if (reading) this.list.scrollTop += this.list.scrollHeight - before;
    if (this.#rows.size > MOST) {
      const [oldest] = this.#rows.keys();
      this.#rows.get(oldest).row.remove();
      this.#rows.delete(oldest);
    }
  }

  clear() {
    this.#rows.clear();
    this.list.replaceChildren();
  }

  #filter() {
    for (const { entry, row } of this.#rows.values()) row.hidden = !this.#wanted(entry);
  }

  #wanted(entry) {
    return matches(entry, this.group.value, this.text.value);
  }

  #row(entry) {
    const button = make(
      "button",
      { type: "button", class: "log-entry", "aria-expanded": "false" },
      make("time", {}, clock(entry.at)),
      make("span", { class: "log-type" }, entry.type),
      make("span", { class: "log-summary" }, entry.summary),
    );
    const failed = entry.failed || entry.type === "error";
    const row = make("li", { class: failed ? "failed" : null }, button);
    button.addEventListener("click", () => this.#toggle(row, button, entry));
    return row;
  }

  #toggle(row, button, entry) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      row.querySelector(".log-body").remove();
      return;
    }
    const body = make("div", { class: "log-body" });
    if (entry.call) {
      const shell = make("button", { type: "button", class: "plain" }, "Copy as curl");
      shell.addEventListener("click", () => copy(this.toCurl(entry.call), shell));
      body.append(shell);
    }
    body.append(make("pre", {}, JSON.stringify(entry.body, null, 2)));
    row.append(body);
  }
}

function clock(ts) {
  const date = new Date(ts);
  const digits = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const whole = digits.map((number) => String(number).padStart(2, "0")).join(":");
  return `${whole}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
