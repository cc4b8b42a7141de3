/** Tells people who do not see the page what happens; how songs get on sparingly, each ten percent. */

import { h } from "../base/dom";
import { counted } from "../base/format";
import { phaseOf, type Song } from "../songs/state";
import { adviceOf, progressOf, statusOf } from "../songs/status";

export class Announcer {
  private readonly said = new Map<string, string>();
  private words: string[] = [];

  constructor(private readonly region: HTMLElement) {}

  /** These songs have changed. How those stand that the list remembers is no news. */
  update(songs: Song[], retention: number): void {
    const news = new Map<string, string[]>();
    for (const song of songs) {
      const phase = phaseOf(song);
      const tenth = Math.floor(10 * (progressOf(song) ?? 1));
      const step = `${phase} ${tenth}`;
      const before = this.said.get(song.key);
      this.said.set(song.key, step);
      const remembered = phase === "loading" || before?.startsWith("loading");
      if (before === step || remembered || (before === undefined && phase === "expired")) continue;
      const text = adviceOf(song, retention) || statusOf(song, Date.now());
      news.set(text, [...(news.get(text) ?? []), song.name || "Song"]);
    }
    for (const [text, names] of news) {
      this.tell(`${names.length > 1 ? counted(names.length, "song") : names[0]}: ${text}`);
    }
  }

  /** What is told together is read together: a region that is filled anew forgets what it was to say. */
  tell(text: string): void {
    this.words.push(text);
    if (this.words.length > 1) return;
    queueMicrotask(() => {
      this.region.replaceChildren(...this.words.splice(0).map((words) => h("p", {}, words)));
    });
  }
}
