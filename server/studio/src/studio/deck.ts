/** The song that is open: its player, its peaks, and how it is set to sound. */

import { ApiError, type Api, type PeaksAnswer } from "../api/api";
import { STRAIGHT } from "../mixer/bend";
import type { Library } from "../songs/library";
import { Limit } from "../api/limit";
import { gainsOf, type Mix } from "../base/mix";
import { OtherTabs } from "./other-tabs";
import { PeakFeed } from "../waves/peak-feed";
import { Outdated } from "../player/outlet";
import { Player, Unheard } from "../player/player";
import { finalsOf, hasOriginal, phaseOf, type Song, type State } from "../songs/state";
import type { Store } from "../base/store";
import { kindOf } from "../base/tracks";
import type { FetchWindow } from "../player/window-feed";

const UNHEARD = "The browser cannot play sound now: press Play in a moment.";
const INTERRUPTED = "Paused: something else took the sound. Press Play to go on.";
const UPDATED = "The server was updated: reload this page.";

export interface DeckListener {
  /** The player has moved: some forty times a second while it plays. */
  moved(): void;
  /** A finished song's samples are not there any more. */
  gone(key: string): void;
  /** The server tells nothing of it without a key. */
  locked(song: Song): void;
  /** It did not answer. */
  away(): void;
}

export class Deck {
  readonly player: Player;
  readonly limit = new Limit();
  private readonly tabs = new OtherTabs(() => this.yield());
  private peakFeed: PeakFeed | null = null;

  constructor(
    private readonly api: Api, private readonly store: Store<State>,
    private readonly library: Library, private readonly listener: DeckListener,
  ) {
    this.player = new Player({
      moved: () => listener.moved(),
      failed: (error) => this.miss(error),
      unbent: (error) => this.straighten(error),
      interrupted: () => this.store.update({ notice: INTERRUPTED }),
    });
  }

  get song(): Song | undefined {
    return this.library.find(this.store.value.open ?? "");
  }

  get peaks(): PeakFeed["peaks"] | undefined {
    return this.peakFeed?.peaks;
  }

  /** Puts another song on; null: none. */
  open(key: string | null): void {
    this.peakFeed?.close();
    this.peakFeed = null;
    this.player.unload();
    this.store.update({ open: key });
    const { song } = this;
    if (song) this.load(song);
  }

  /** A song stands so now: the open one is heard as it does, another one when it is opened. */
  update(song: Song): void {
    if (song.mix.original && !hasOriginal(song)) {
      this.setMix(song.key, (mix) => ({ ...mix, original: false }));
      song = this.library.find(song.key) ?? song;
    }
    if (song.key !== this.store.value.open) return;
    if (["expired", "failed"].includes(phaseOf(song))) this.stop(song.key);
    else if (this.player.song !== song.key || this.player.tracks.join() !== song.mix.tracks.join()) this.load(song);
    else this.extend(song);
  }

  /** Asks for no more of this song, unless it plays. */
  rest(key: string): void {
    if (key !== this.store.value.open) return;
    this.peakFeed?.rest();
    if (!this.player.playing) this.stop(key);
  }

  async toggle(): Promise<void> {
    if (this.player.playing) return this.player.pause();
    this.tabs.tell();
    if (this.store.value.notice) this.store.update({ notice: "" });
    await this.player.play();
  }

  setMix(key: string, change: (mix: Mix) => Mix): void {
    const song = this.library.find(key);
    if (song === undefined) return;
    const mix = change(song.mix);
    this.library.change(key, { mix });
    if (this.player.song !== key) return;
    this.player.setGains(gainsOf(mix));
    if (mix.loop !== song.mix.loop) this.player.setLoop(mix.loop);
    if (mix.bend === song.mix.bend) return;
    this.store.update({ notice: "" });
    this.player.setBend(mix.bend);
  }

  /** Reads samples of the open song to be looked at; what is wrong with it is told as of its sound. */
  moments(key: string): FetchWindow {
    return async (names, start, frames, signal) => {
      await this.spare(signal);
      try {
        return await this.counted(this.api.window(this.id(key), names, start, frames, signal));
      } catch (error) {
        if (!signal.aborted) this.miss(error);
        throw error;
      }
    };
  }

  /** Reads samples of a song to be heard, wherever its job has got to. */
  private windows(key: string): FetchWindow {
    return async (names, start, frames, signal) => {
      await this.limit.over(signal);
      return this.counted(this.api.window(this.id(key), names, start, frames, signal));
    };
  }

  private async peaksOf(key: string, since: number, signal: AbortSignal): Promise<PeaksAnswer> {
    await this.spare(signal);
    return this.counted(this.api.peaks(this.id(key), since, signal));
  }

  private spare(signal: AbortSignal): Promise<void> {
    return this.limit.spare(signal, () => this.player.playing);
  }

  private async counted<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      this.limit.hear(error);
      throw error;
    }
  }

  /** Falls silent, if it is this song that is on. */
  private stop(key: string): void {
    if (this.player.song === key) this.player.unload();
  }

  private load(song: Song): void {
    const { key, mix } = song;
    this.player.load(key, mix.tracks, this.windows(key));
    this.player.setGains(gainsOf(mix));
    this.player.setLoop(mix.loop);
    this.player.setBend(mix.bend);
    this.peakFeed?.close();
    this.peakFeed = new PeakFeed(
      mix.tracks.filter((name) => kindOf(name).shown),
      (since, signal) => this.peaksOf(key, since, signal),
      () => {
        const now = this.library.find(key);
        if (now) this.extend(now);
      },
    );
    this.extend(song);
  }

  private extend(song: Song): void {
    if (song.key !== this.store.value.open || song.id === "" || song.gone !== undefined) return;
    const { finals, total } = finalsOf(song);
    // A track may be further than the stems are: its peaks tell, until the end, where it may go.
    const told = (name: string): number => phaseOf(song) === "done" ? 0 : this.peaks?.final(name) ?? 0;
    const known = song.mix.tracks.map((name, at) => Math.max(finals[at]!, told(name)));
    this.player.extend(known, total);
    const shown = finals.filter((_, at) => kindOf(song.mix.tracks[at]!).shown);
    if (!song.leaving) this.peakFeed?.extend(shown, total);
    this.listener.moved();
  }

  /** Another tab plays. */
  private yield(): void {
    if (!this.player.playing) return;
    this.player.pause();
    this.store.update({ notice: "Paused: another tab plays now." });
  }

  /** A window, or the audio thread's script, could not be had. */
  private miss(error: unknown): void {
    if (error instanceof Outdated) return this.store.update({ notice: UPDATED });
    if (error instanceof Unheard) return this.store.update({ notice: UNHEARD });
    const status = error instanceof ApiError ? error.status : 0; // no answer, or cut in the middle
    const { song } = this;
    if (status === 0) this.listener.away();
    else if (song === undefined) return;
    else if (status === 401 || status === 403) this.listener.locked(song);
    else if ((status === 404 || status === 410) && phaseOf(song) === "done") this.listener.gone(song.key);
  }

  /** What could not be had is not shown as if it were. */
  private straighten(error: unknown): void {
    const { open } = this.store.value;
    if (open !== null) this.setMix(open, (mix) => ({ ...mix, bend: STRAIGHT }));
    const now = "Tempo and key cannot be changed now: try again in a moment.";
    this.store.update({ notice: error instanceof Outdated ? UPDATED : now });
  }

  private id(key: string): string {
    return this.library.find(key)?.id ?? "";
  }
}
