// @ts-check
// Lyrics that follow a song: the line that is sung stands in the middle, and its words fill as they are sung. A click
// on a word goes there; up and down go to the line before and after.
//
// Trap: scrollIntoView would scroll the whole page; only the list itself is scrolled.
import { make } from "./elements.mjs";
import { lineAt, lineClock, sungShare } from "./lyric_facts.mjs";

/** @typedef {import("./lyric_facts.mjs").Line} Line */
/** @typedef {{ seconds: number, playing: boolean }} Sound as in take_sound.mjs */

let views = 0; // for ids

/**
 * @param {string} label
 * @param {(seconds: number) => void} seek
 */
export const lyricsView = (label, seek) => {
  const list = make("div", { class: "lyrics", role: "listbox", tabindex: "0", "aria-label": label });
  const id = `ace-lyrics-${++views}`;
  /** @type {Line[]} */
  let lines = [];
  /** @type {HTMLElement[]} */
  let rows = [];
  let chosen = -1;
  let held = false; // the chosen line stays, until the song has come to it
  let frame = 0;

  const mark = (/** @type {number} */ index) => {
    if (index === chosen) return;
    rows[chosen]?.setAttribute("aria-selected", "false");
    chosen = index;
    const row = rows[chosen];
    if (!row) return;
    row.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", row.id);
    list.scrollTop = row.offsetTop - (list.clientHeight - row.offsetHeight) / 2;
  };

  const draw = (/** @type {Sound} */ { seconds, playing }) => {
    const current = lineAt(lines, seconds);
    if (current >= chosen) held = false;
    if (playing && !held) mark(current);
    rows.forEach((row, index) => {
      row.classList.toggle("sung", index === current);
      if (index !== current) return;
      row.querySelectorAll(".word").forEach((word, each) => {
        const share = sungShare(lines[index].words[each], seconds);
        /** @type {HTMLElement} */ (word).style.setProperty("--sung", `${100 * share}%`);
      });
    });
  };

  const choose = (/** @type {number} */ index, seconds = lines[index]?.start) => {
    if (!lines[index]) return;
    held = false;
    mark(index);
    seek(seconds);
  };

  const rowOf = (/** @type {Line} */ line, /** @type {number} */ index) => {
    const words = line.words.map(({ text }) => make("span", { class: "word" }, text));
    const row = make(
      "div",
      { class: "line", role: "option", id: `${id}-${index}`, "aria-selected": "false" },
      make("span", { class: "at" }, lineClock(line.start)),
      make("span", { class: "words" }, ...words),
    );
    row.addEventListener("click", ({ target }) => {
      const word = words.indexOf(/** @type {HTMLElement} */ (target));
      choose(index, word > 0 ? line.words[word].start : line.start);
    });
    return row;
  };

  list.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    choose(Math.max(0, Math.min(lines.length - 1, chosen + step)));
    event.preventDefault();
  });

  return {
    element: list,
    /** The chosen line, if there is one. */
    get chosen() {
      return lines[chosen];
    },
    /** Show other lines, or the same ones at other times: then the chosen one stays until the song has come to it. */
    show(/** @type {Line[]} */ shown, same = false) {
      if (shown === lines) return;
      const before = same ? chosen : -1;
      lines = shown;
      rows = lines.map(rowOf);
      list.replaceChildren(...rows);
      chosen = -1;
      mark(before);
      held = same;
    },
    /** Draw what is sung, and go on as long as the song plays. */
    follow(/** @type {Sound} */ sound) {
      cancelAnimationFrame(frame);
      draw(sound);
      const next = () => {
        if (!sound.playing || !list.isConnected) return;
        draw(sound);
        frame = requestAnimationFrame(next);
      };
      frame = requestAnimationFrame(next);
    },
  };
};
