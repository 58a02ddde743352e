// What the page does with a session, as lines for a shell.
import { curl, speak } from "./curl.js";
import { copy, make } from "./dom.js";
import { saying } from "./session.js";

export function showShell(list, base, id, needsKey) {
  const call = (method, path, body) => curl(base, { method, path, body }, needsKey);
  const lines = [
    ["Speak a WAV file", speak(base, id, needsKey)],
    ["Say a sentence", call("POST", `sessions/${id}/messages`, saying("Hello!"))],
    ["Interrupt", call("POST", `sessions/${id}/interrupt`)],
    ["Look at it", call("GET", `sessions/${id}`)],
    ["End it", call("DELETE", `sessions/${id}`)],
  ];
  list.replaceChildren(
    ...lines.map(([what, line]) => {
      const button = make("button", { type: "button", class: "plain" }, "Copy");
      button.addEventListener("click", () => copy(line, button));
      return make("div", {}, make("dt", {}, what), make("dd", {}, make("code", {}, line), button));
    }),
  );
}
