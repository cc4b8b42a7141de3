/** What a song's state is called: one sentence, and how far it is. Pure. */

import { Unanswered, type ApiError } from "../api/api";
import { frames, lasting, left, megabytes, span, time } from "../base/format";
import { SAMPLE_RATE } from "../mixer/mixer";
import { heardOf } from "../base/mix";
import { finalsOf, phaseOf, type Song } from "./state";

export function statusOf(song: Song, now: number): string {
  if (song.leaving) return "being removed";
  switch (phaseOf(song)) {
    case "uploading":
      return uploading(song, now);
    case "refused":
      return "not taken";
    case "loading":
      return "asking the server";
    case "queued":
      return ["waiting", place(song), eta(song)].filter(Boolean).join(", ");
    case "separating":
      return [`separating ${Math.floor(song.job?.progress ?? 0)} %`, listen(song), eta(song)]
        .filter(Boolean).join(", ");
    case "done":
      return "ready";
    case "failed":
      return "failed";
    case "expired":
      return "expired";
  }
}

/** Why a song was not taken, and what to do: not every refusal is the file's fault. */
export function refusalOf(error: ApiError): string {
  const { status } = error;
  const said = sentence(error.message);
  if (error instanceof Unanswered) return `${said} Sent again, it is separated a second time.`;
  if (status === 401 || status === 403) return `${said} Give a key that is let in, then try again.`;
  if (status === 402) return `${said} With more of them, try again.`; // credits
  if (status === 0 || status === 429 || status >= 500) return `${said} Try again in a moment.`;
  return `${said} Choose another file, or try this one again.`;
}

/** What went wrong or was lost, and what to do next; empty where nothing was. */
export function adviceOf(song: Song, retention: number): string {
  switch (phaseOf(song)) {
    case "refused":
      return song.refused!;
    case "failed": {
      const failed = song.job?.stages.find((stage) => stage.status === "failed");
      const reason = song.job?.error ?? failed?.error;
      return `This song could not be separated. ${reason ? sentence(reason) : ""}`.trim();
    }
    case "expired":
      return (song.name === "" ? "The server has no such song, or none any more."
        : "The server has no files of this song any more.")
        + (retention > 0 ? ` Files are kept for ${lasting(retention)}.` : "")
        + (song.name === "" ? "" : " It leaves this list by itself after a day.");
    default:
      return (song.job?.input?.warnings ?? []).map(sentence).join(" ");
  }
}

/** 0 to 1, or null where there is nothing to wait for. */
export function progressOf(song: Song): number | null {
  switch (phaseOf(song)) {
    case "uploading":
      return song.upload!.total > 0 ? song.upload!.sent / song.upload!.total : 0;
    case "loading":
    case "queued":
      return 0;
    case "separating":
      return (song.job?.progress ?? 0) / 100;
    default:
      return null;
  }
}

export function lengthOf(song: Song): string {
  const { total } = finalsOf(song);
  return total > 0 ? time(total / SAMPLE_RATE) : "";
}

function uploading(song: Song, now: number): string {
  const { sent, total, since, until } = song.upload!;
  if (until !== undefined) return `too many at once, goes on in ${span(Math.max(1, Math.ceil((until - now) / 1000)))}`;
  if (since === 0) return "waiting to be sent";
  if (sent >= total) return "sent, the server reads it";
  const spent = (now - since) / 1000;
  const rest = spent > 1 && sent > 0 ? `, ${left((spent * (total - sent)) / sent)}` : "";
  return `sending ${megabytes(sent)} of ${megabytes(total)}${rest}`;
}

function place(song: Song): string {
  const position = song.job?.queue?.position;
  return position ? `place ${position}` : "";
}

function eta(song: Song): string {
  const seconds = song.job?.eta_seconds;
  return typeof seconds === "number" ? left(seconds) : "";
}

function listen(song: Song): string {
  const { finals } = finalsOf(song);
  const heard = heardOf(song.mix);
  const ends = finals.filter((_, track) => heard.includes(song.mix.tracks[track]!));
  const end = ends.length > 0 ? Math.min(...ends) : 0;
  return end > 0 ? `listen to ${frames(end)}` : "";
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
