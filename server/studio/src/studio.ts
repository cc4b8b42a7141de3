/**
 * What the page does: takes songs in, follows their jobs, opens one and plays it.
 * The only one that changes the state; views call it and never the network.
 */

import { AccountError } from "./account-api";
import type { AllSongs } from "./all-songs";
import { ApiError, type Job, type MixFormat } from "./api";
import { STRAIGHT } from "./bend";
import { JobEvents } from "./events";
import type { Marker } from "./markers";
import { gainsOf, mixOf, type Mix } from "./mix";
import { PeakFeed } from "./peak-feed";
import { OtherTabs } from "./other-tabs";
import { Player } from "./player";
import { SongList, type KeptSong } from "./songs";
import { SplitList } from "./split-list";
import { EMPTY, finalsOf, phaseOf, type Song, type State } from "./state";
import { refusalOf } from "./status";
import { Store } from "./store";
import { ACCOUNT } from "./places";
import { kindOf, ORIGINAL, PIPELINE_TRACKS } from "./tracks";
import { Uploads } from "./uploads";
import type { FetchWindow } from "./window-feed";

const NO_KEY = "This job is an account's: sign in with its key under Account.";
const RETRY = 2500; // milliseconds between two looks for a server that is away

export class Studio {
  readonly store = new Store<State>(EMPTY);
  readonly player: Player;
  private readonly list: SongList;
  private readonly splits = new SplitList();
  private readonly uploads: Uploads;
  private readonly files = new Map<string, File>();
  private readonly jobs = new Map<string, JobEvents>();
  private readonly tabs = new OtherTabs(() => this.yield());
  private peakFeed: PeakFeed | null = null;
  private keys = 0;

  /** `moved` hears of the player's position, some forty times a second while it plays. */
  constructor(private readonly api: AllSongs, private readonly moved: () => void) {
    this.list = new SongList((songs) => this.meet(songs));
    this.player = new Player({ moved, failed: (error) => this.onWindowError(error),
      unbent: () => this.straighten() });
    this.uploads = new Uploads(api, {
      progress: (key, sent, since) => {
        const upload = this.song(key)?.upload;
        if (upload) this.change(key, { upload: { ...upload, sent, since } });
      },
      accepted: (key, job) => this.accept(key, job),
      refused: (key, error) => this.refuse(key, error),
    });
  }

  async start(): Promise<void> {
    this.meet(this.list.load());
    for (const song of this.splits.load()) this.insert(song, false, true);
    window.addEventListener("hashchange", () => this.visit());
    this.visit();
    await this.configure();
  }

  get opened(): Song | undefined {
    return this.song(this.store.value.open ?? "");
  }

  get peaks(): PeakFeed["peaks"] | undefined {
    return this.peakFeed?.peaks;
  }

  addFiles(files: Iterable<File>): void {
    for (const file of files) this.addFile(file, `new-${++this.keys}`);
  }

  async addDemo(): Promise<void> {
    try {
      const job = await this.api.demo();
      this.insert({ id: job.job_id, name: job.input?.file_name ?? "Demo song", added: Date.now() });
      this.open(job.job_id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.complain(error, error.status === 0 ? "" : error.message);
    }
  }

  /** Sends the file of a song that failed or was refused once more. */
  retry(key: string): void {
    const file = this.files.get(key);
    if (file === undefined) return;
    this.forget(key);
    this.addFile(file, `new-${++this.keys}`);
  }

  canRetry(key: string): boolean {
    return this.files.has(key);
  }

  /**
   * Cancels what is under way, removes what is there; of an expired song, the entry. A song whose
   * files the server still has stays in the list.
   */
  async remove(key: string): Promise<void> {
    const song = this.song(key);
    if (song === undefined) return;
    this.uploads.cancel(key);
    this.forget(key);
    if (song.id === "" || song.gone) return;
    try {
      await this.api.remove(song.id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404 || error.status === 410) return;
      const { id, name, added, markers } = song;
      if (this.song(id) === undefined) this.insert({ id, name, added, markers }, true, song.split);
      this.complain(error, `“${name}” could not be removed. ${error.message}`);
    }
  }

  open(key: string | null): void {
    if (key === this.store.value.open) return;
    this.peakFeed?.close();
    this.peakFeed = null;
    this.player.unload();
    this.store.update({ open: key });
    const song = this.opened;
    if (song) this.load(song);
    this.address(song);
  }

  setMix(key: string, change: (mix: Mix) => Mix): void {
    const song = this.song(key);
    if (song === undefined) return;
    const mix = change(song.mix);
    this.change(key, { mix });
    if (this.player.song !== key) return;
    this.player.setGains(gainsOf(mix));
    if (mix.loop !== song.mix.loop) this.player.setLoop(mix.loop);
    if (mix.bend === song.mix.bend) return;
    this.store.update({ notice: "" });
    this.player.setBend(mix.bend);
  }

  setMarkers(key: string, change: (markers: Marker[]) => Marker[]): void {
    const song = this.song(key);
    if (song === undefined) return;
    const markers = change(song.markers);
    this.change(key, { markers });
    this.listOf(song).mark(song.id, markers);
    this.moved();
  }

  async toggle(key: string): Promise<void> {
    if (this.store.value.open !== key) this.open(key);
    if (this.player.playing) this.player.pause();
    else {
      this.tabs.tell();
      if (this.store.value.notice) this.store.update({ notice: "" });
      await this.player.play();
    }
  }

  /** Takes a key for a server that wants one, and begins anew with it. */
  unlock(key: string): void {
    this.api.key = key;
    this.store.update({ locked: false });
    for (const song of this.store.value.songs) this.follow(song);
    void this.configure();
  }

  /** Looks again at the songs of the account that has just signed in. */
  welcome(): void {
    if (this.store.value.notice === NO_KEY) this.store.update({ notice: "" });
    for (const song of this.store.value.songs) if (song.split) this.follow(song);
  }

  /** The account's songs go with its key. */
  farewell(): void {
    for (const song of this.store.value.songs) if (song.split) this.forget(song.key);
  }

  /** Reads samples of a song, wherever its job has got to. */
  windows(key: string): FetchWindow {
    return (names, start, frames, signal) =>
      this.api.window(this.song(key)?.id ?? "", names, start, frames, signal);
  }

  url(song: Song, what: "all" | "stem" | string): string | null {
    return this.api.trackUrl(song.id, what === "stem" ? "stems.stem.m4a" : what);
  }

  mixUrl(song: Song, format: MixFormat): string | null {
    return this.api.mixUrl(song.id, song.mix, format);
  }

  /** The address to really use: with a key, a link alone is not let in. */
  async download(url: string): Promise<string> {
    return this.api.indirect(url) ? this.api.fileUrl(url) : url;
  }

  indirect(url: string): boolean {
    return this.api.indirect(url);
  }

  /** Asks the server what it takes; returns whether it answers at all. */
  private async configure(): Promise<boolean> {
    try {
      const config = await this.api.config();
      this.store.update({
        away: 0,
        limit: config.max_file_size_mb,
        formats: config.supported_formats,
        demo: config.demo ?? false,
        retention: config.retention_hours ?? 0,
      });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0) this.onAway();
      return error.status !== 0;
    }
    return true;
  }

  private addFile(file: File, key: string): void {
    this.files.set(key, file);
    const upload = { sent: 0, total: file.size, since: 0 };
    const song = { key, id: "", name: file.name, added: Date.now(), upload, markers: [],
      mix: mixOf(this.api.tracks(file)), split: this.api.chosen(file) !== undefined };
    this.store.update({ songs: [song, ...this.store.value.songs], notice: "" });
    const { limit } = this.store.value;
    if (limit > 0 && !song.split && file.size > limit * 1_048_576) {
      this.refuse(key, new ApiError(413, `This file is larger than ${limit} MB.`));
      return;
    }
    if (this.store.value.open === null || !this.player.playing) this.open(key);
    this.uploads.add(key, file);
  }

  private accept(key: string, job: Job): void {
    const song = this.song(key);
    if (song === undefined) return void this.api.remove(job.job_id).catch(() => undefined);
    const { upload: _, ...rest } = song;
    const added = { ...rest, id: job.job_id };
    this.listOf(added).add({ id: added.id, name: added.name, added: added.added, markers: added.markers });
    this.put(key, added);
    this.onJob(key, job);
    this.follow(added);
    if (this.store.value.open === key) this.address(added);
  }

  /** Says what could not be done, and sees to what that tells of the server. */
  private complain(error: ApiError, notice: string): void {
    const locked = error.status === 401 && !(error instanceof AccountError);
    this.store.update({ notice, ...(locked && { locked }) });
    if (error.status === 0) this.onAway();
  }

  private refuse(key: string, error: ApiError): void {
    this.change(key, { refused: refusalOf(error) });
    if (error instanceof AccountError) {
      if (error.code === "INSUFFICIENT_CREDITS") this.change(key, { purchase: error.purchaseUrl });
    } else if (error.status === 401) this.store.update({ locked: true });
  }

  /** Songs that this browser knows, from storage or from another tab. */
  private meet(kept: KeptSong[]): void {
    const known = new Set(kept.map((song) => song.id));
    for (const song of this.store.value.songs) {
      if (song.id !== "" && !song.split && !known.has(song.id)) this.forget(song.key, false);
    }
    for (const song of kept.toReversed()) {
      const known = this.store.value.songs.find((other) => other.id === song.id);
      if (known === undefined) this.insert(song, false);
      else this.change(known.key, { markers: song.markers ?? [] });
    }
  }

  private insert(kept: KeptSong, keep = true, split = false): void {
    const mix = mixOf(split ? [ORIGINAL] : PIPELINE_TRACKS);
    const song: Song = { ...kept, key: kept.id, markers: kept.markers ?? [], mix, split };
    if (split) this.api.split.adopt(kept.id);
    if (keep) this.listOf(song).add(kept);
    const songs = [song, ...this.store.value.songs].sort((a, b) => b.added - a.added);
    this.store.update({ songs });
    this.follow(song);
  }

  private follow(song: Song): void {
    if (song.id === "" || (song.job !== undefined && song.job.status !== "processing")) return;
    this.jobs.get(song.key)?.close();
    const { key } = song;
    const events = new JobEvents(this.api, song.id, {
      job: (job) => this.onJob(key, job),
      gone: () => this.onGone(key),
      locked: () => this.store.update(song.split ? { notice: NO_KEY } : { locked: true }),
      away: () => this.onAway(),
    }, () => this.store.value.open === key);
    this.jobs.set(key, events);
    void events.run();
  }

  private onJob(key: string, job: Job): void {
    const song = this.song(key);
    if (song === undefined) return;
    if (this.store.value.away) this.store.update({ away: 0 });
    const tracks = job.tracks ?? PIPELINE_TRACKS;
    const same = tracks.join() === song.mix.tracks.join();
    const name = song.name || job.input?.file_name || "Song";
    const changed = { ...song, name, job, mix: same ? song.mix : mixOf(tracks) };
    this.put(key, changed);
    if (job.status === "failed" && this.player.song === key) this.player.unload();
    else if (!same && this.player.song === key) this.load(changed);
    else this.extend(changed);
  }

  private yield(): void {
    if (!this.player.playing) return;
    this.player.pause();
    this.store.update({ notice: "Paused: another tab plays now." });
  }

  private onGone(key: string): void {
    this.change(key, { gone: true });
    if (this.player.song === key) this.player.unload();
  }

  private onAway(): void {
    if (this.store.value.away) return;
    this.store.update({ away: Date.now() });
    const ask = (): void => {
      void this.configure().then((here) => here || setTimeout(ask, RETRY));
    };
    setTimeout(ask, RETRY);
  }

  private onWindowError(error: unknown): void {
    if (!(error instanceof ApiError)) return this.onAway(); // cut in the middle
    const song = this.opened;
    if (error.status === 0) this.onAway();
    if ((error.status === 404 || error.status === 410) && song?.job?.status === "completed") {
      this.onGone(song.key);
    }
  }

  /** What could not be had is not shown as if it were. */
  private straighten(): void {
    const { open } = this.store.value;
    if (open !== null) this.setMix(open, (mix) => ({ ...mix, bend: STRAIGHT }));
    this.store.update({ notice: "Tempo and key cannot be changed now: try again in a moment." });
  }

  /** Gives the open song's card what sounds and what is drawn. */
  private load(song: Song): void {
    const { tracks } = song.mix;
    const id = (): string => this.song(song.key)?.id ?? "";
    this.player.load(song.key, tracks, this.windows(song.key));
    this.player.setGains(gainsOf(song.mix));
    this.player.setLoop(song.mix.loop);
    this.player.setBend(song.mix.bend);
    this.peakFeed?.close();
    this.peakFeed = new PeakFeed(
      tracks.filter((name) => kindOf(name).shown),
      (since, signal) => this.api.peaks(id(), since, signal),
      () => {
        const now = this.song(song.key);
        if (now) this.extend(now);
      },
    );
    this.extend(song);
  }

  private extend(song: Song): void {
    if (song.key !== this.store.value.open || song.id === "" || song.gone) return;
    const { finals, total } = finalsOf(song);
    // A track may be further than the stems are: its peaks tell.
    const known = song.mix.tracks.map((name, at) => Math.max(finals[at]!, this.peaks?.final(name) ?? 0));
    this.player.extend(known, total);
    this.peakFeed?.extend(finals, total);
    this.moved();
  }

  private forget(key: string, everywhere = true): void {
    const song = this.song(key);
    if (song === undefined) return;
    this.jobs.get(key)?.close();
    this.jobs.delete(key);
    this.files.delete(key);
    if (this.store.value.open === key) this.open(null);
    this.store.update({ songs: this.store.value.songs.filter((other) => other.key !== key) });
    if (everywhere && song.id !== "") this.listOf(song).remove(song.id);
  }

  /** The address names the open song, and opens the one it names. */
  private address(song: Song | undefined): void {
    const kind = song?.split ? "split" : "job";
    const hash = song === undefined || song.id === "" ? "" : `#/${kind}/${song.id}`;
    if (location.hash === hash || location.hash === ACCOUNT) return;
    history.replaceState(null, "", hash || location.pathname + location.search);
  }

  private visit(): void {
    const [, kind, id] = /^#\/(job|split)\/([\w-]+)$/.exec(location.hash) ?? [];
    if (id === undefined) return this.address(this.opened);
    const known = this.store.value.songs.find((song) => song.id === id);
    if (known === undefined) this.insert({ id, name: "", added: Date.now() }, true, kind === "split");
    this.open(known?.key ?? id);
  }

  /** Where a song is remembered. */
  private listOf(song: Song): SongList | SplitList {
    return song.split ? this.splits : this.list;
  }

  private song(key: string): Song | undefined {
    return this.store.value.songs.find((song) => song.key === key);
  }

  private change(key: string, change: Partial<Song>): void {
    const song = this.song(key);
    if (song !== undefined) this.put(key, { ...song, ...change });
  }

  private put(key: string, song: Song): void {
    const songs = this.store.value.songs.map((other) => (other.key === key ? song : other));
    this.store.update({ songs });
  }
}

/** Whether there is anything to hear; what is heard may still have to be waited for. */
export function audible(song: Song): boolean {
  const hopeful = ["queued", "separating", "done"].includes(phaseOf(song));
  return hopeful && finalsOf(song).finals.some((final) => final > 0);
}
