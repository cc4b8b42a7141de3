/**
 * Puts together what the page is made of beside its views: the library of songs, where they come
 * in, the jobs behind them, the deck that plays one. Only these change the state.
 */

import { Address } from "./address";
import type { AllSongs } from "../songs/all-songs";
import { ApiError, type FileHere, type Job, type MixFormat } from "../api/api";
import { Deck } from "./deck";
import { Fetching } from "../files/fetching";
import { quoted } from "../base/format";
import { Host } from "../songs/host";
import { Intake } from "../files/intake";
import { Jobs } from "../songs/jobs";
import { Library, songOf } from "../songs/library";
import { heardOf } from "../base/mix";
import { EMPTY, phaseOf, type Song, type State } from "../songs/state";
import { Store } from "../base/store";
import { FOUR } from "../base/tracks";

const TIDY = 300_000; // milliseconds between two looks for songs that have expired
const NO_KEY = "This job is an account's: sign in with its key under Account.";

export class Studio {
  readonly store = new Store<State>(EMPTY);
  readonly library: Library;
  readonly intake: Intake;
  readonly deck: Deck;
  private readonly host: Host;
  private readonly fetching: Fetching;
  private readonly jobs: Jobs;
  private readonly address: Address;

  /** `moved` hears of the player's position, some forty times a second while it plays. */
  constructor(private readonly api: AllSongs, moved: () => void) {
    const { store } = this;
    this.host = new Host(api, store);
    this.fetching = new Fetching(api, store, this.host);
    this.library = new Library(store, {
      added: (song) => this.welcomed(song),
      forgotten: (song) => this.left(song),
    });
    this.deck = new Deck(api, store, this.library, {
      moved, gone: (key) => this.gone(key), locked: (song) => this.locked(song), away: () => this.host.lost(),
    });
    this.jobs = new Jobs(api, this.library, this.host, {
      heard: (song) => this.deck.update(song),
      gone: (key) => this.gone(key),
      locked: (song) => this.locked(song),
      live: (key) => store.value.open === key,
    });
    this.intake = new Intake(api, store, this.library, this.host, {
      taken: (song) => this.taken(song),
      accepted: (song, job) => this.accepted(song, job),
    });
    this.address = new Address({
      visited: (id, split) => this.visited(id, split),
      opened: () => this.deck.song,
    });
  }

  async start(): Promise<void> {
    this.library.load();
    this.address.start();
    setInterval(() => this.tidy(), TIDY);
    document.addEventListener("visibilitychange", () => this.tidy());
    await this.host.ask();
  }

  async demo(): Promise<void> {
    const song = await this.intake.addDemo();
    if (song) this.open(song.key);
  }

  open(key: string | null): void {
    if (key === this.store.value.open) return;
    this.deck.open(key);
    this.jobs.yield();
    this.address.name(this.deck.song);
  }

  /** Plays the song, or pauses it. */
  async toggle(key: string): Promise<void> {
    this.open(key);
    await this.deck.toggle();
  }

  /**
   * Cancels what is under way, removes what is there; of an expired song, the entry. A song whose
   * files the server has stays in the list, and plays on, until the server has removed them.
   */
  async remove(key: string): Promise<void> {
    const song = this.library.find(key);
    if (song === undefined || song.leaving) return;
    if (song.id === "" || song.gone !== undefined) return this.library.forget(key);
    this.library.change(key, { leaving: true });
    this.jobs.leave(key); // what was asked of it now might be answered that there is none
    this.deck.rest(key);
    try {
      await this.api.remove(song.id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 404 && error.status !== 410) return this.stays(key, error);
    }
    this.library.forget(key);
  }

  /** Takes every expired song out of the list. */
  forgetExpired(): void {
    this.library.forgetAll(this.library.songs.filter((song) => phaseOf(song) === "expired"));
  }

  /** Takes a key for a server that wants one, and begins anew with it; returns whether it is let in. */
  async unlock(key: string): Promise<boolean> {
    this.api.key = key;
    this.store.update({ keyProblem: "" });
    const refusal = key === "" ? null : await this.host.refusal();
    if (this.api.key !== key) return false; // another one has come
    if (refusal !== null) {
      this.api.key = "";
      this.store.update({ locked: true, keyProblem: `This key is not let in. ${refusal}` });
      return false;
    }
    this.store.update({ locked: false, notice: "" });
    for (const song of this.library.songs) this.jobs.follow(song);
    void this.host.ask();
    return true;
  }

  /** Looks again at the songs of the account that has just signed in. */
  welcome(): void {
    if (this.store.value.notice === NO_KEY) this.store.update({ notice: "" });
    for (const song of this.library.songs) if (song.split) this.jobs.follow(song);
  }

  /** The account's songs go with its key. */
  farewell(): void {
    this.library.forgetAll(this.library.songs.filter((song) => song.split));
    this.api.split.forget();
  }

  /** The address of a track's file; of all files and of the stem file, null where there is none. */
  url(song: Song, what: "all" | "stem" | string): string | null {
    if (what === "stem" && !FOUR.every((name) => song.mix.tracks.includes(name))) return null;
    return this.api.trackUrl(song.id, what === "stem" ? "stems.stem.m4a" : what);
  }

  /** Null where nothing is heard: the server makes no file of silence. */
  mixUrl(song: Song, format: MixFormat): string | null {
    if (heardOf(song.mix).length === 0) return null;
    return this.api.mixUrl(song.id, song.mix, format);
  }

  /** The file of a link that alone is not let in. Null where it cannot be had: the page says why. */
  download(url: string, part: (part: number) => void): Promise<FileHere | null> {
    return this.fetching.file(url, part);
  }

  indirect(url: string): boolean {
    return this.api.indirect(url);
  }

  private welcomed(song: Song): void {
    if (song.split && song.id !== "") this.api.split.adopt(song.id);
    this.jobs.follow(song);
  }

  private left(song: Song): void {
    this.jobs.leave(song.key);
    this.intake.leave(song.key);
    if (this.store.value.open === song.key) this.open(null);
  }

  /** The server has not removed a song, or could not say that it has: it is asked how the song stands. */
  private stays(key: string, error: ApiError): void {
    this.library.change(key, { leaving: false });
    const song = this.library.find(key);
    if (song === undefined) return;
    this.host.complain(error, `${quoted(song.name)} could not be removed. ${error.message}`);
    this.jobs.look(song);
  }

  private taken(song: Song): void {
    if (this.store.value.open === null || !this.deck.player.playing) this.open(song.key);
  }

  private accepted(song: Song, job: Job): void {
    this.jobs.hear(song.key, job);
    this.jobs.follow({ ...song, job });
    if (this.store.value.open === song.key) this.address.name(this.deck.song);
  }

  private locked(song: Song): void {
    this.store.update(song.split ? { notice: NO_KEY } : { locked: true });
  }

  private gone(key: string): void {
    if (this.library.find(key)?.leaving) return; // its removal is about to be answered
    this.library.expire(key, true);
    const song = this.library.find(key);
    if (song) this.deck.update(song);
  }

  /** Sees which songs have expired while the page was open; a timer rests while nobody looks. */
  private tidy(): void {
    this.library.sweep();
    const kept = 3_600_000 * this.store.value.retention;
    if (document.hidden || kept === 0) return;
    for (const song of this.library.songs) {
      if (phaseOf(song) === "done" && !song.leaving && Date.now() - song.added > kept) this.jobs.look(song);
    }
  }

  private visited(id: string, split: boolean): void {
    if (this.library.withId(id) === undefined) {
      this.library.add(songOf({ id, name: "", added: Date.now() }, split));
    }
    this.open(this.library.withId(id)!.key);
  }
}
