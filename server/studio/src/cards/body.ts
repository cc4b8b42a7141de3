/** The open part of a song's card: transport, ruler, tracks, markers, downloads. */

import type { Bend } from "../mixer/bend";
import { h } from "../base/dom";
import { Gestures } from "../waves/gestures";
import { MarkerList } from "./marker-list";
import { frames } from "../base/format";
import { beside, renamed, withMarker, without } from "../base/markers";
import { SAMPLE_RATE } from "../mixer/mixer";
import { Ruler } from "../waves/ruler";
import { Spectrogram } from "../waves/spectrogram";
import { audible, audibleOf, finalsOf, hasOriginal, phaseOf, type Song } from "../songs/state";
import type { Studio } from "../studio/studio";
import { TakeAway } from "./take-away";
import { TrackRow } from "./track-row";
import { kindOf } from "../base/tracks";
import { Transport } from "./transport";
import { Viewport } from "../waves/viewport";

const PATIENCE = 1000; // milliseconds of a wait that is not worth a word

export interface BodyActions {
  /** Shows the list of keys. */
  help(): void;
  /** Says something to people who do not see the page. */
  tell(text: string): void;
}

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
  private waiting = false;
  private patience: number | undefined;

  constructor(
    private readonly studio: Studio, private readonly first: Song, private readonly actions: BodyActions,
  ) {
    const song = first;
    this.key = song.key;
    this.tracks = song.mix.tracks.join();
    const { player } = studio.deck;
    this.gestures = new Gestures(this.view, {
      seek: (frame) => player.seek(frame),
      meant: (frame, about) =>
        this.song.markers.find((marker) => Math.abs(marker.frame - frame) < about)?.frame ?? frame,
      loop: (start, end) => this.setLoop(start, end),
      keep: () => this.keep(),
      seen: () => this.repaint(),
    });
    const canvas = h("canvas", { class: "ruler", role: "slider", tabindex: "0", "aria-valuemin": "0",
      "aria-valuemax": "0", "aria-valuenow": "0", "aria-label": "Position" });
    this.ruler = new Ruler(canvas);
    this.gestures.ruler(canvas);
    this.rows = song.mix.tracks.filter((name) => kindOf(name).shown).map((name) =>
      new TrackRow(name, (change) => studio.deck.setMix(this.key, change)));
    for (const row of this.rows) this.gestures.lane(row.waveform.canvas);
    this.transport = new Transport({
      play: () => void studio.toggle(this.key),
      loop: () => this.loop(),
      original: () => this.original(),
      bend: (change) => this.bend(change),
      mark: () => this.mark(),
      spectrogram: () => this.spectrum(),
      zoom: (factor) => this.zoom(factor),
      help: () => actions.help(),
    });
    this.markers = new MarkerList({
      go: (frame) => player.seek(frame),
      rename: (frame, name) => studio.library.mark(this.key, (markers) => renamed(markers, frame, name)),
      remove: (frame) => studio.library.mark(this.key, (markers) => without(markers, frame)),
      left: () => this.transport.focusMark(),
    });
    this.takeAway = new TakeAway(() => this.update(studio.deck.song ?? song));
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
    this.transport.update(song, looping, this.spectrogram?.open ?? false);
    this.spectrogram?.offer(audibleOf(song));
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
    const { player } = this.studio.deck;
    const position = player.clock.now(player.loop);
    if (player.playing) this.view.follow(position);
    const { peaks } = this.studio.deck;
    const { markers } = this.song;
    const scene = { peaks, view: this.view, position, loop: player.loop, markers, look: this.look };
    this.ruler.paint(scene);
    this.rows.forEach((row, track) => row.paint(scene, player.levels[track] ?? 0, player.playing));
    this.spectrogram?.paint(scene, (track) => player.final(track));
    this.transport.paint(player, position, this.view.total, this.studio.deck.limit.left);
    this.element.classList.toggle("waiting", player.waiting);
    this.wait(player.waiting);
  }

  /** The focus goes to the button that plays. */
  focus(): void {
    this.transport.focus();
  }

  /** The theme has changed, or the size. */
  repaint(): void {
    this.look++;
    this.paint();
  }

  /** Sets the loop's start, then its end, then clears it. */
  loop(): void {
    const song = this.studio.deck.song;
    if (song === undefined) return;
    const { position } = this.studio.deck.player.clock;
    if (song.mix.loop !== null) this.clearLoop();
    else if (this.loopStart !== null && position > this.loopStart) this.setLoop(this.loopStart, position);
    else this.loopStart = this.loopStart === null ? position : null;
    this.update(this.studio.deck.song ?? song);
    const { loop } = this.song.mix;
    this.actions.tell(loop !== null ? `Loop ${frames(loop.start, true)} to ${frames(loop.end, true)}.`
      : this.loopStart !== null ? `Loop starts at ${frames(this.loopStart, true)}.` : "No loop.");
  }

  bend(change: (bend: Bend) => Bend): void {
    this.studio.deck.setMix(this.key, (mix) => ({ ...mix, bend: change(mix.bend) }));
  }

  /** Sets a marker where the player is; at a marker, deletes it. */
  mark(): void {
    const { clock, loop } = this.studio.deck.player;
    if (!audible(this.song)) return;
    const frame = Math.round(clock.now(loop));
    const before = this.song.markers.length;
    this.studio.library.mark(this.key, (markers) => withMarker(markers, frame));
    const more = this.song.markers.length - before;
    if (more > 0) this.actions.tell(`Marker set at ${frames(frame, true)}.`);
    else if (more < 0) this.actions.tell("Marker deleted.");
  }

  /** Goes to the next marker on either side. */
  jump(side: -1 | 1): void {
    const { player } = this.studio.deck;
    const marker = beside(this.song.markers, player.clock.position, side, player.playing);
    if (marker !== undefined) player.seek(marker.frame);
  }

  /** Shows the spectrogram, or hides it. */
  spectrum(): void {
    if (!audible(this.song)) return;
    this.spectrogram ??= this.unrolled();
    this.spectrogram.toggle();
    this.update(this.song);
    this.actions.tell(this.spectrogram.open ? "Spectrogram shown." : "Spectrogram hidden.");
  }

  /** Lets go of what it fetches. */
  close(): void {
    window.clearTimeout(this.patience);
    this.spectrogram?.close();
    this.element.remove();
  }

  original(): void {
    if (!hasOriginal(this.song)) return;
    this.studio.deck.setMix(this.key, (mix) => ({ ...mix, original: !mix.original }));
    this.actions.tell(this.song.mix.original ? "Original." : "Stems.");
  }

  zoom(factor: number): void {
    const place = this.view.at(this.studio.deck.player.clock.position);
    this.view.zoom(place >= 0 && place <= 1 ? place : 0.5, factor);
    this.repaint();
  }

  seekBy(seconds: number): void {
    const { player } = this.studio.deck;
    player.seek(player.clock.position + seconds * SAMPLE_RATE);
  }

  private unrolled(): Spectrogram {
    const tracks = audibleOf(this.song);
    const spectrogram = new Spectrogram(tracks, this.studio.deck.moments(this.key), () => this.paint());
    this.gestures.lane(spectrogram.canvas);
    this.rows[0]!.element.before(spectrogram.element);
    return spectrogram;
  }

  private get song(): Song {
    return this.studio.library.find(this.key) ?? this.first;
  }

  private setLoop(start: number, end: number): void {
    this.loopStart = null;
    const { player } = this.studio.deck;
    const reach = Math.min(end, player.reach());
    if (reach <= start) return;
    this.studio.deck.setMix(this.key, (mix) => ({ ...mix, loop: { start, end: reach } }));
    const { position } = player.clock;
    if (position < start || position >= reach) player.seek(start);
  }

  /** Tells of a wait once, when it lasts: there are short ones at every start. */
  private wait(waiting: boolean): void {
    if (waiting === this.waiting) return;
    this.waiting = waiting;
    window.clearTimeout(this.patience);
    const tell = (): void => this.actions.tell("Waiting for the next part.");
    if (waiting) this.patience = window.setTimeout(tell, PATIENCE);
  }

  private keep(): () => void {
    const { loop } = this.song.mix;
    const { position } = this.studio.deck.player.clock;
    return () => {
      this.studio.deck.setMix(this.key, (mix) => ({ ...mix, loop }));
      this.studio.deck.player.seek(position);
    };
  }

  private clearLoop(): void {
    this.studio.deck.setMix(this.key, (mix) => ({ ...mix, loop: null }));
  }
}
