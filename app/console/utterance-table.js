// The timeline in words, for those who do not see it.
import { make } from "./dom.js";

export function showUtterances(body, utterances) {
  body.replaceChildren(
    ...utterances.map((each) => {
      const marks = each.marks.map(({ name, outcome }) => `${name} ${outcome}`).join(", ");
      const lengths = [each.received, each.sent, each.played].map((ms) =>
        ms === null ? "" : String(Math.round(ms)),
      );
      const cells = [String(each.number), each.id, each.status, ...lengths, marks];
      const row = make("tr", {}, ...cells.map((words) => make("td", {}, words)));
      row.dataset.status = each.status;
      return row;
    }),
  );
}
