/** One song: its header, and, when it is open, its player. A function of the song's state. */

import { h, icon, say } from "./dom";
import type { Bend } from "./bend";
import { Gestures } from "./gestures";
import { MarkerList } from "./marker-list";
import { beside, renamed, withMarker, without } from "./markers";
import { SAMPLE_RATE } from "./mixer";
import { Ruler } from "./ruler";
import { Spectrogram } from "./spectrogram";
import { phaseOf, finalsOf, type Song } from "./state";
import { adviceOf, lengthOf, progressOf, statusOf } from "./status";
import { audible, type Studio } from "./studio";
import { TakeAway } from "./take-away";
import { TrackRow } from "./track-row";
import { kindOf } from "./tracks";
import { Transport } from "./transport";
import { Viewport } from "./viewport";

const PLAYABLE = ["loading", "queued", "separating", "done", "uploading"];

export class Card {
  readonly element: HTMLElement;
  private readonly title = h("span", { class: "title" });
  private readonly length = h("span", { class: "length" });
  private readonly made = h("span", { class: "made" });
  private readonly purchase = h("a", { class: "chip", "data-action": "purchase", target: "_blank",
    rel: "noopener noreferrer", hidden: true }, "Get credits");
  private readonly status = h("span", { class: "status" });
  private readonly bar = h("span", { class: "bar" });
  private readonly advice = h("p", { class: "advice" });
  private readonly retry: HTMLButtonElement;
  private readonly play: HTMLButtonElement;
  private readonly opener: HTMLButtonElement;
  private readonly remove: HTMLButtonElement;
  private body: Body | null = null;

  constructor(private readonly studio: Studio, private readonly key: string, help: () => void) {
    this.play = h("button", { type: "button", class: "icon-button", "data-action": "play",
      "aria-label": "Play", click: () => void studio.toggle(key) }, icon("play"));
    this.opener = h("button", { type: "button", class: "opener", "data-action": "open",
      click: () => studio.open(studio.store.value.open === key ? null : key) },
      icon("chevron"), this.title);
    this.remove = h("button", { type: "button", class: "icon-button", "data-action": "remove",
      click: () => this.removing() }, icon("close"));
    this.retry = h("button", { type: "button", class: "chip", "data-action": "retry",
      click: () => studio.retry(key) }, "Try again");
    const head = h("header", {}, this.play, h("h2", {}, this.opener), this.length, this.made, this.status, this.remove);
    const line = h("div", { class: "progress", role: "progressbar", "aria-label": "Progress",
      "aria-valuemin": "0", "aria-valuemax": "100" }, this.bar);
    this.element = h("article", { class: "card" }, head, line, this.advice,
      this.purchase, this.retry);
    this.help = help;
  }

  private readonly help: () => void;

  get player(): Body | null {
    return this.body;
  }

  close(): void {
    this.body?.close();
    this.element.remove();
  }

  update(song: Song, open: boolean): void {
    const phase = phaseOf(song);
    this.element.dataset.phase = phase;
    if (song.id !== "") this.element.dataset.job = song.id;
    say(this.title, song.name || "Song");
    say(this.length, lengthOf(song));
    say(this.made, song.job?.made ?? "");
    this.offer(song.purchase ?? "");
    say(this.status, statusOf(song, Date.now()));
    this.progress(progressOf(song));
    const advice = adviceOf(song, this.studio.store.value.retention);
    say(this.advice, advice);
    this.advice.hidden = advice === "";
    this.retry.hidden = !(phase === "failed" || phase === "refused") || !this.studio.canRetry(this.key);
    const cancel = phase === "uploading" || phase === "queued" || phase === "separating";
    const label = `${cancel ? "Cancel" : "Remove"} ${song.name}`;
    this.remove.setAttribute("aria-label", label);
    this.remove.title = cancel ? "Cancel" : "Remove";
    this.unfold(song, open && PLAYABLE.includes(phase));
    this.opener.setAttribute("aria-expanded", String(this.body !== null));
    this.play.disabled = !audible(song);
    this.opener.disabled = !PLAYABLE.includes(phase);
  }

  /** Where there are more credits, if the server says so. */
  private offer(url: string): void {
    this.purchase.hidden = !/^https?:/.test(url);
    if (!this.purchase.hidden) this.purchase.href = url;
  }

  /** Files that are ready go only after a question. */
  private removing(): void {
    if (this.element.dataset.phase !== "done") return void this.studio.remove(this.key);
    const answer = (text: string, click: () => void): HTMLButtonElement =>
      h("button", { type: "button", class: "chip", click: () => { dialog.close(); click(); } }, text);
    const name = this.title.textContent!;
    const dialog = h("dialog", { "aria-label": "Remove", close: () => dialog.remove() },
      h("p", {}, `Remove “${name}” and its files from the server?`),
      h("div", { class: "answers" }, answer("Keep", () => undefined),
        answer("Remove", () => void this.studio.remove(this.key))));
    document.body.append(dialog);
    dialog.showModal();
  }

  private progress(part: number | null): void {
    const line = this.bar.parentElement!;
    line.classList.toggle("idle", part === null);
    line.setAttribute("aria-valuenow", String(Math.round(100 * (part ?? 1))));
    this.bar.style.transform = `scaleX(${(part ?? 1).toFixed(4)})`;
  }

  private unfold(song: Song, open: boolean): void {
    const tracks = song.mix.tracks.join();
    if (this.body !== null && (!open || this.body.tracks !== tracks)) {
      this.body.close();
      this.body = null;
    }
    if (open && this.body === null) {
      this.body = new Body(this.studio, song, this.help);
      this.element.append(this.body.element);
    }
    if (this.body !== null) this.play.remove();
    else if (this.play.parentNode === null) this.element.querySelector("header")!.prepend(this.play);
    this.body?.update(song);
  }
}

/** The open part: transport, ruler, tracks, downloads. */
export class Body {
  readonly element: HTMLElement;
  readonly tracks: string;
  readonly view = new Viewport();
  private readonly key: string;
  private readonly gestures: Gestures;
  private readonly ruler: Ruler;
  private readonly rows: TrackRow[];
  private readonly transport: Transport;
  private readonly takeAway: TakeAway;
  private readonly markers: MarkerList;
  private spectrogram: Spectrogram | null = null;
  private loopStart: number | null = null;
  private look = 0;

  constructor(private readonly studio: Studio, private readonly first: Song, help: () => void) {
    const song = first;
    this.key = song.key;
    this.tracks = song.mix.tracks.join();
    const { player } = studio;
    this.gestures = new Gestures(this.view, {
      seek: (frame) => player.seek(frame),
      meant: (frame, about) =>
        this.song.markers.find((marker) => Math.abs(marker.frame - frame) < about)?.frame ?? frame,
      loop: (start, end) => this.setLoop(start, end),
      seen: () => this.repaint(),
    });
    const canvas = h("canvas", { class: "ruler", role: "slider", tabindex: "0", "aria-valuemin": "0",
      "aria-valuemax": "0", "aria-valuenow": "0", "aria-label": "Position" });
    this.ruler = new Ruler(canvas);
    this.gestures.ruler(canvas);
    this.rows = song.mix.tracks.filter((name) => kindOf(name).shown).map((name) =>
      new TrackRow(name, (change) => studio.setMix(this.key, change)));
    for (const row of this.rows) this.gestures.lane(row.waveform.canvas);
    this.transport = new Transport({
      play: () => void studio.toggle(this.key),
      loop: () => this.loop(),
      original: () => this.original(),
      bend: (change) => this.bend(change),
      mark: () => this.mark(),
      spectrogram: () => this.spectrum(),
      zoom: (factor) => this.zoom(factor),
      help,
    });
    this.markers = new MarkerList({
      go: (frame) => player.seek(frame),
      rename: (frame, name) => studio.setMarkers(this.key, (markers) => renamed(markers, frame, name)),
      remove: (frame) => studio.setMarkers(this.key, (markers) => without(markers, frame)),
    });
    this.takeAway = new TakeAway(() => this.update(studio.opened ?? song));
    this.element = h("div", { class: "player" }, this.transport.element,
      h("div", { class: "track head" }, h("span", { class: "name" }), canvas, h("div", { class: "tools" })),
      ...this.rows.map((row) => row.element), this.markers.element, this.takeAway.element);
    new ResizeObserver(() => this.repaint()).observe(canvas);
  }

  update(song: Song): void {
    const { studio } = this;
    const done = phaseOf(song) === "done";
    for (const row of this.rows) {
      const there = done || song.job?.outputs[row.track] !== undefined;
      row.update(song.mix, there ? studio.url(song, row.track) : null);
    }
    const looping = song.mix.loop !== null ? "on" : this.loopStart !== null ? "started" : "off";
    this.transport.update(song.mix, audible(song), looping, this.spectrogram?.open ?? false);
    this.markers.update(song.markers);
    this.takeAway.update(song, {
      mix: (format) => studio.mixUrl(song, format),
      all: () => studio.url(song, "all"),
      stem: () => studio.url(song, "stem"),
    });
    this.view.fit(finalsOf(song).total);
    this.element.classList.toggle("original", song.mix.original);
  }

  paint(): void {
    const { player } = this.studio;
    const position = player.clock.now(player.loop);
    if (player.playing) this.view.follow(position);
    const { peaks } = this.studio;
    const { markers } = this.song;
    const scene = { peaks, view: this.view, position, loop: player.loop, markers, look: this.look };
    this.ruler.paint(scene);
    this.rows.forEach((row, track) => row.paint(scene, player.levels[track] ?? 0, player.playing));
    this.spectrogram?.paint(scene, (track) => player.final(track));
    this.transport.paint(player, position, this.view.total);
    this.element.classList.toggle("waiting", player.waiting);
  }

  /** The theme has changed, or the size. */
  repaint(): void {
    this.look++;
    this.paint();
  }

  /** Sets the loop's start, then its end, then clears it. */
  loop(): void {
    const song = this.studio.opened;
    if (song === undefined) return;
    const { position } = this.studio.player.clock;
    if (song.mix.loop !== null) this.clearLoop();
    else if (this.loopStart !== null && position > this.loopStart) this.setLoop(this.loopStart, position);
    else this.loopStart = this.loopStart === null ? position : null;
    this.update(this.studio.opened ?? song);
  }

  bend(change: (bend: Bend) => Bend): void {
    this.studio.setMix(this.key, (mix) => ({ ...mix, bend: change(mix.bend) }));
  }

  /** Sets a marker where the player is; at a marker, deletes it. */
  mark(): void {
    const { clock, loop } = this.studio.player;
    if (!audible(this.song)) return;
    this.studio.setMarkers(this.key, (markers) => withMarker(markers, Math.round(clock.now(loop))));
  }

  /** Goes to the next marker on either side. */
  jump(side: -1 | 1): void {
    const { player } = this.studio;
    const marker = beside(this.song.markers, player.clock.position, side, player.playing);
    if (marker !== undefined) player.seek(marker.frame);
  }

  /** Shows the spectrogram, or hides it. */
  spectrum(): void {
    if (!audible(this.song)) return;
    this.spectrogram ??= this.unrolled();
    this.spectrogram.toggle();
    this.update(this.song);
  }

  /** Lets go of what it fetches. */
  close(): void {
    this.spectrogram?.close();
    this.element.remove();
  }

  original(): void {
    this.studio.setMix(this.key, (mix) => ({ ...mix, original: !mix.original }));
  }

  zoom(factor: number): void {
    const place = this.view.at(this.studio.player.clock.position);
    this.view.zoom(place >= 0 && place <= 1 ? place : 0.5, factor);
    this.repaint();
  }

  seekBy(seconds: number): void {
    const { player } = this.studio;
    player.seek(player.clock.position + seconds * SAMPLE_RATE);
  }

  private unrolled(): Spectrogram {
    const { tracks } = this.song.mix;
    const spectrogram = new Spectrogram(tracks, this.studio.windows(this.key), () => this.paint());
    this.gestures.lane(spectrogram.canvas);
    this.rows[0]!.element.before(spectrogram.element);
    return spectrogram;
  }

  private get song(): Song {
    return this.studio.store.value.songs.find((song) => song.key === this.key) ?? this.first;
  }

  private setLoop(start: number, end: number): void {
    this.loopStart = null;
    const { player } = this.studio;
    const reach = Math.min(end, player.reach());
    if (reach <= start) return;
    this.studio.setMix(this.key, (mix) => ({ ...mix, loop: { start, end: reach } }));
    const { position } = player.clock;
    if (position < start || position >= reach) player.seek(start);
  }

  private clearLoop(): void {
    this.studio.setMix(this.key, (mix) => ({ ...mix, loop: null }));
  }
}
