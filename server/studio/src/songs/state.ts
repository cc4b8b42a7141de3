/** What the page knows, as plain data; the views are functions of it. */

import type { Job } from "../api/api";
import type { Marker } from "../base/markers";
import type { Mix } from "../base/mix";
import { ORIGINAL } from "../base/tracks";

export interface Upload {
  sent: number;
  total: number;
  /** Unix milliseconds of its first byte; 0 while it waits for its turn. */
  since: number;
  /** Unix milliseconds until which the server takes no more. */
  until?: number;
}

export interface Song {
  /** The page's own name for it, from drop to removal. */
  key: string;
  /** The job's id; empty until there is a job. */
  id: string;
  name: string;
  /** Unix milliseconds. */
  added: number;
  upload?: Upload;
  /** Why the server did not take it, and what to do next. */
  refused?: string;
  job?: Job;
  /** It is an account's StemSplit job. */
  split?: boolean;
  /** The account has too few credits for it: where there are more, "" if nobody says. */
  purchase?: string;
  /** Unix milliseconds since when its files are known to be gone. */
  gone?: number | undefined;
  /** The server has been asked to remove it, and has not answered. */
  leaving?: boolean;
  markers: Marker[];
  mix: Mix;
}

export type Phase =
  | "uploading" | "refused" | "loading" | "queued" | "separating" | "done" | "failed" | "expired";

export interface State {
  /** The newest first. */
  songs: Song[];
  /** Key of the song whose card is open. */
  open: string | null;
  /** Unix milliseconds since when the server does not answer; 0 while it does. */
  away: number;
  /** The server wants a key, and has none or a wrong one. */
  locked: boolean;
  /** Why the last key that was given is not let in. */
  keyProblem: string;
  /** How many megabytes one song may have; 0 while unknown. */
  limit: number;
  formats: string[];
  demo: boolean;
  retention: number;
  /** Something that the page has to say once. */
  notice: string;
}

export const EMPTY: State = {
  songs: [], open: null, away: 0, locked: false, keyProblem: "", limit: 0, formats: [], demo: false,
  retention: 0, notice: "",
};

export function phaseOf(song: Song): Phase {
  if (song.gone !== undefined) return "expired";
  if (song.refused !== undefined) return "refused";
  if (song.upload !== undefined) return "uploading";
  if (song.job === undefined) return "loading";
  if (song.job.status === "completed") return "done";
  if (song.job.status === "failed") return "failed";
  return begun(song.job) ? "separating" : "queued";
}

function begun(job: Job): boolean {
  if (job.queue?.position) return false;
  return (job.progress ?? 0) > 0 || job.stages.some((stage) => stage.status !== "pending");
}

/** How far each track of a song can be heard, in frames; and the song's length, 0 if unknown. */
export function finalsOf(song: Song): { finals: number[]; total: number } {
  const listen = song.job?.listen;
  const seconds = song.job?.input?.duration_seconds ?? 0;
  const total = listen?.total_frames || Math.round(seconds * 44_100);
  const finished = song.job?.status === "completed";
  const finals = song.mix.tracks.map((name) => {
    if (listen === undefined) return finished ? total : 0;
    if (!Array.isArray(listen.tracks)) return listen.tracks[name] ?? 0;
    return listen.tracks.includes(name) ? listen.final_frames : 0;
  });
  return { finals, total };
}

/** Whether the song as it came in can be heard, or will be: a job whose stems do not give it loses it. */
export function hasOriginal(song: Song): boolean {
  return phaseOf(song) !== "done" || finalsOf(song).finals[song.mix.tracks.indexOf(ORIGINAL)] !== 0;
}

/** The tracks that can be heard, or will be. */
export function audibleOf(song: Song): string[] {
  return song.mix.tracks.filter((name) => name !== ORIGINAL || hasOriginal(song));
}

/** Whether there is anything to hear; what is heard may still have to be waited for. */
export function audible(song: Song): boolean {
  const hopeful = ["queued", "separating", "done"].includes(phaseOf(song));
  return hopeful && finalsOf(song).finals.some((final) => final > 0);
}
