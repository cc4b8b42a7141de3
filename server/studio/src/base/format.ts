/** Numbers as people read them: always with their unit, times as m:ss.t. */

import { LOWEST } from "./mix";
import { SAMPLE_RATE } from "../mixer/mixer";

/** A name within a sentence, in whichever direction it is written. */
export function quoted(name: string): string {
  return `“\u2068${name}\u2069”`;
}

export function time(seconds: number, tenths = false): string {
  const rounded = tenths ? Math.floor(seconds * 10 + 1e-6) / 10 : Math.floor(seconds + 1e-6);
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  const rest = (rounded % 60).toFixed(tenths ? 1 : 0).padStart(tenths ? 4 : 2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function frames(count: number, tenths = false): string {
  return time(count / SAMPLE_RATE, tenths);
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function decibels(value: number): string {
  if (value <= LOWEST) return "−∞ dB";
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  return `${sign}${Math.abs(value).toFixed(1)} dB`;
}

export function semitones(value: number): string {
  return value === 0 ? "±0" : value > 0 ? `+${value}` : `−${-value}`;
}

/** How long still, in words that do not pretend to know it exactly. */
export function left(seconds: number): string {
  if (seconds < 5) return "a few seconds left";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  return `about ${time(Math.ceil(seconds / 10) * 10)} left`;
}

export function clock(milliseconds: number): string {
  return new Date(milliseconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** Whole seconds, as credits are counted: "45 s", "12 min", "1 min 30 s". */
export function span(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const rest = seconds % 60;
  return [minutes > 0 && `${minutes} min`, (rest > 0 || minutes === 0) && `${rest} s`].filter(Boolean).join(" ");
}

/** So many of a thing: "1 failure", "3 failures". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Hours as people say them: "1 minute", "1.5 hours", "30 days". */
export function lasting(hours: number): string {
  const minutes = Math.max(1, Math.round(hours * 60));
  if (minutes < 60) return counted(minutes, "minute");
  return hours < 48 ? counted(tenths(hours), "hour") : counted(tenths(hours / 24), "day");
}

/** A day and a time, as short as it is clear. */
export function moment(iso: string): string {
  const options = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" } as const;
  return new Date(iso).toLocaleString([], options);
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
