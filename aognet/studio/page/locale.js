// The words of the page in the language of whoever reads them.

import { remember, remembered } from "./dom.js";

export const LANGUAGES = { en: "English", zh: "中文" };
const ATTRIBUTES = ["placeholder", "title", "aria-label", "aria-roledescription"];
const listeners = [];
let words = {}, plural = new Intl.PluralRules("en");
export let language = "en";

// The text of a key, with {names} filled in. A text of several numbers has the keys `key.one` and `key.other`.
export function t(key, values = {}) {
  const form = "n" in values ? `${key}.${plural.select(values.n)}` : key;
  const text = words[form] ?? words[`${key}.other`] ?? words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const has = (key) => key in words;

// Elements say their key in `data-t`, and those of their attributes in `data-t-title` and so on.
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const name of ATTRIBUTES)
    for (const element of root.querySelectorAll(`[data-t-${name}]`)) element.setAttribute(name, t(element.getAttribute(`data-t-${name}`)));
}

export const onlanguage = (work) => listeners.push(work);

export async function speak(name) {
  language = name in LANGUAGES ? name : "en";
  words = await (await fetch(`locales/${language}.json`)).json();
  plural = new Intl.PluralRules(language);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
  document.title = t("title");
  document.getElementById("language").lang = Object.keys(LANGUAGES).find((name) => name !== language);
  translate();
  for (const work of listeners) work();
}

export function choose(name) {
  remember("language", name);
  return speak(name);
}

export const preferred = () => remembered("language", null) ?? (navigator.language || "en").slice(0, 2);

export function duration(seconds) {
  if (seconds < 90) return t("seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 5400) return t("minutes", { n: Math.round(seconds / 60) });
  return t("hours", { n: Math.round(seconds / 3600) });
}

export const moment = (seconds) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);

// A direction as people say it: "30° right, 10° up".
export function direction(yaw, pitch) {
  const across = Math.round(yaw), up = Math.round(pitch);
  const parts = [
    across ? t(across > 0 ? "degrees right" : "degrees left", { degrees: Math.abs(across) }) : t("ahead"),
    up && t(up > 0 ? "degrees up" : "degrees down", { degrees: Math.abs(up) }),
  ];
  return parts.filter(Boolean).join(t("list comma"));
}
