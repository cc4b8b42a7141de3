/** The attempts at a delivery: how many, and, unfolded, each as it went. */

import type { Attempt } from "./account-api";
import { h, say } from "../base/dom";
import { counted, moment } from "../base/format";
import { only } from "./table";

export const AttemptsCell = {
  fill(cell: HTMLElement, attempts: Attempt[]): void {
    const details = only(cell, () => h("details", {}, h("summary"), h("ol", { class: "attempts" })));
    const [summary, list] = details.children as unknown as [HTMLElement, HTMLElement];
    const count = attempts.at(-1)?.number ?? 0;
    say(summary, String(count));
    summary.setAttribute("aria-label", counted(count, "attempt"));
    while (list.children.length > attempts.length) list.lastChild!.remove();
    attempts.forEach((attempt, at) => {
      if (list.children[at] === undefined) list.append(h("li"));
      say(list.children[at]!, lineOf(attempt));
    });
  },
};

function lineOf({ startedAt, durationMs, statusCode, error }: Attempt): string {
  const answer = statusCode === null ? "no answer" : `HTTP ${statusCode}`;
  const why = error !== null && error !== answer ? `: ${error}` : "";
  return `${moment(startedAt)}, ${durationMs} ms, ${answer}${why}`;
}
