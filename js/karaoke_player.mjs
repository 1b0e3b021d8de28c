// @ts-check
// Lyrics that follow a song on nodes that know when they are sung. Lyric Timing has buttons that move the chosen line
// earlier or later: they write the plain widget line_offsets, and the next run writes the files with it. Keys: space
// plays, up and down choose a line, comma and full stop move it, 1 to 8 choose a song.
//
// The sound is the node's own; where it has none, as after Sample, that of a player of the same latents.
import { button, make } from "./elements.mjs";
import { fileAddress, onWidget, resultOf, setWidget, textsOf, widgetOf } from "./host.mjs";
import { movedLines, offsetOf, offsetsIn, withOffset } from "./lyric_facts.mjs";
import { lyricsView } from "./lyrics_view.mjs";
import { clock } from "./take_facts.mjs";
import { sameOrigin } from "./take_graph.mjs";
import { transport } from "./take_sound.mjs";

/** @typedef {import("./take_facts.mjs").Take["file"]} File */
/** @typedef {{ lines: import("./lyric_facts.mjs").Line[], file: File | null }} Song */

const OFFSETS = "line_offsets";
const NUDGE_SECONDS = 0.05;

/** The files of songs that another node has made of what this node was given. */
const filesOfPlayer = (/** @type {any} */ node, /** @type {number} */ count) => {
  const takes = node.graph.nodes
    .filter((/** @type {any} */ each) => each !== node && sameOrigin(each, node))
    .map((/** @type {any} */ each) => resultOf(each)?.ace_takes)
    .find((/** @type {any} */ found) => found?.length === count);
  return takes?.map((/** @type {{ file: File }} */ take) => take.file);
};

/**
 * Fill a panel; returns `show`, which is given the songs of each run.
 * @param {any} node
 * @param {HTMLElement} panel
 */
export const karaokePlayer = async (node, panel) => {
  const texts = await textsOf("karaoke");

  /** @type {Song[]} */
  let songs = [];
  let current = 0;
  /** @type {ReturnType<typeof transport>} */
  let sound = transport([], [], () => {});
  let heard = ""; // the files that are loaded

  const movable = Boolean(widgetOf(node, OFFSETS));
  const view = lyricsView(texts.lyrics, (seconds) => {
    sound.seek(seconds);
    update();
  });
  const play = button("▶", texts.play, () => sound.toggle());
  const time = make("span", { class: "time" });
  const tabs = make("span", { class: "tabs" });
  const earlier = button("−50 ms", texts.earlier, () => nudge(-NUDGE_SECONDS));
  const later = button("+50 ms", texts.later, () => nudge(NUDGE_SECONDS));
  const said = make("span", { class: "said", role: "status" });
  const bar = make("div", { class: "bar" }, play, time, tabs, ...(movable ? [earlier, later] : []), said);
  const empty = make("div", { class: "empty" });

  const say = (/** @type {string} */ text) => (said.textContent = said.title = text);
  const written = () => String(widgetOf(node, OFFSETS)?.value ?? "");

  const update = () => {
    play.textContent = sound.playing ? "❚❚" : "▶";
    play.disabled = !heard;
    time.textContent = heard ? clock(sound.seconds) : texts.silent;
    view.follow(sound);
  };

  /** Lines at the times that the widget gives them. */
  const draw = (same = false) => {
    const song = songs[current];
    if (!song) return;
    const offsets = offsetsIn(written());
    if (!offsets) say(texts.unreadable);
    view.show(movedLines(song.lines, offsets ?? new Map(), current + 1), same);
    update();
  };

  const nudge = (/** @type {number} */ seconds) => {
    const line = view.chosen?.number;
    if (!line) return say(texts.choose);
    const place = { song: current + 1, songs: songs.length, line };
    const text = withOffset(written(), place, seconds);
    if (text === null) return say(texts.unreadable);
    setWidget(node, OFFSETS, text);
    const moved = offsetOf(offsetsIn(text) ?? new Map(), place.song, line);
    say(`${texts.line} ${line}: ${moved < 0 ? "" : "+"}${moved} s. ${texts.next_run}`);
  };

  /** Load the songs, if others are there to hear. */
  const listen = () => {
    const files = songs.every(({ file }) => file) ? songs.map(({ file }) => file) : filesOfPlayer(node, songs.length);
    const addresses = (files ?? []).map(fileAddress);
    if (addresses.join() === heard) return;
    heard = addresses.join();
    sound.end();
    const sounds = addresses.map((/** @type {string} */ src) => make("audio", { preload: "metadata", src }));
    sound = transport(
      sounds,
      sounds.map(() => 1),
      update,
    );
    sound.choose(current);
    panel.querySelectorAll("audio").forEach((audio) => audio.remove());
    panel.append(...sounds);
    update();
  };

  const choose = (/** @type {number} */ index) => {
    current = index;
    sound.choose(index);
    [...tabs.children].forEach((tab, each) => tab.setAttribute("aria-pressed", String(each === index)));
    say("");
    draw();
  };

  const tabOf = (/** @type {unknown} */ _, /** @type {number} */ index) =>
    button(String(index + 1), `${texts.song} ${index + 1}`, () => choose(index));

  panel.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const digit = Number(event.key) - 1;
    if (event.key === " " && !target.matches("button")) sound.toggle();
    else if (movable && event.key === ",") nudge(-NUDGE_SECONDS);
    else if (movable && event.key === ".") nudge(NUDGE_SECONDS);
    else if (digit >= 0 && digit < Math.min(songs.length, 8)) choose(digit);
    else return;
    event.preventDefault();
  });
  panel.addEventListener("pointerenter", listen); // a player may have come since
  onWidget(node, OFFSETS, () => draw(true));

  /** Show the songs of a run; `hint` stands where none has timed lyrics. */
  const show = (/** @type {Song[]} */ shown, /** @type {string} */ hint) => {
    songs = shown;
    empty.textContent = hint;
    if (!songs.some(({ lines }) => lines.length)) {
      sound.end();
      heard = "";
      return panel.replaceChildren(empty);
    }
    tabs.replaceChildren(...(songs.length > 1 ? songs.map(tabOf) : []));
    panel.replaceChildren(bar, view.element);
    heard = "";
    listen();
    choose(Math.min(current, songs.length - 1));
  };
  show([], texts.empty);
  return {
    show: (/** @type {Song[]} */ shown) => show(shown, texts.none),
    end: () => sound.end(),
  };
};
