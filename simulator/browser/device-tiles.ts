/** The devices of the dashboard: how many are in which state, and a tile for each, or a bar for a fleet that does not fit. */

import type { DeviceStates } from "../src/pages/page-data.ts";
import { colour } from "./charts.ts";
import { place } from "./place.ts";

export interface DeviceView {
  update(devices: DeviceStates, names: readonly string[]): void;
}

/** In the order of the states' numbers: off first. Each has a shape and a colour of its own. */
const STATES = [
  { word: "off", name: "off", sign: "✕" },
  { word: "waiting", name: "waiting to connect again", sign: "○" },
  { word: "connecting", name: "connecting", sign: "◆" },
  { word: "connected", name: "connected", sign: "■" },
] as const;

/** Fills the elements `device-…` of the page. */
export function showDevices(): DeviceView {
  const counts = place("device-counts");
  const outputs = STATES.map(({ word, name, sign }) => {
    const item = document.createElement("li");
    const mark = document.createElement("span");
    mark.className = `device ${word}`;
    mark.textContent = sign;
    mark.setAttribute("aria-hidden", "true");
    const output = document.createElement("output");
    item.append(mark, ` ${name} `, output);
    counts.append(item);
    return output;
  });
  const bar = new Bar(place("device-bar"));
  const tiles = new Tiles(place("device-tiles"), place("device-name"));
  return {
    update: (devices, names) => {
      for (const [state, output] of outputs.entries()) {
        output.textContent = (devices.counts[state] ?? 0).toLocaleString("en");
      }
      bar.update(devices);
      tiles.update(devices.states, names);
    },
  };
}

/** A part for each state, connected first. */
class Bar {
  readonly #bar: HTMLElement;
  readonly #parts: HTMLElement[];

  constructor(bar: HTMLElement) {
    this.#bar = bar;
    this.#parts = STATES.map(({ word, sign }) => {
      const part = document.createElement("span");
      part.className = `device ${word}`;
      part.textContent = sign;
      bar.prepend(part);
      return part;
    });
  }

  update({ counts, states }: DeviceStates): void {
    this.#bar.hidden = states !== "";
    for (const [state, part] of this.#parts.entries()) {
      part.style.flexGrow = String(counts[state] ?? 0);
      part.hidden = counts[state] === 0;
    }
  }
}

/** In CSS pixels, the gap included. The largest that keeps the tiles on the screen. */
const SIZES = [44, 36, 28, 20];
const SMALLEST = 15;
const HEIGHT_MAX = 240;

function tileSize(count: number, width: number): number {
  const fits = (size: number) => Math.ceil(count / Math.floor(width / size)) * size <= HEIGHT_MAX;
  return SIZES.find(fits) ?? SMALLEST;
}

const GAP = 4;

/** A canvas with one tile for each device. */
class Tiles {
  readonly #box: HTMLElement;
  readonly #canvas: HTMLCanvasElement;
  readonly #label: HTMLElement;
  readonly #hint: string;
  #states = "";
  #names: readonly string[] = [];
  #size = SMALLEST;
  #columnCount = 1;
  #selected: number | undefined;

  constructor(tiles: HTMLElement, label: HTMLElement) {
    this.#box = tiles;
    this.#label = label;
    this.#hint = label.textContent ?? "";
    this.#canvas = tiles.querySelector("canvas") ?? document.createElement("canvas");
    this.#canvas.addEventListener("pointermove", (event) => this.#select(this.#at(event)));
    this.#canvas.addEventListener("pointerdown", (event) => this.#select(this.#at(event)));
    this.#canvas.addEventListener("pointerleave", () => this.#select(undefined));
    this.#canvas.addEventListener("blur", () => this.#select(undefined));
    this.#canvas.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#draw()).observe(tiles);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  update(states: string, names: readonly string[]): void {
    this.#box.hidden = states === "";
    this.#states = states;
    this.#names = names;
    this.#draw();
    this.#showSelected();
  }

  #draw(): void {
    const width = this.#box.clientWidth;
    const count = this.#states.length;
    if (width === 0 || count === 0) return;
    this.#size = tileSize(count, width);
    this.#columnCount = Math.max(1, Math.floor(width / this.#size));
    const height = Math.ceil(count / this.#columnCount) * this.#size;
    const ratio = devicePixelRatio;
    const canvas = this.#canvas;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.scale(ratio, ratio);
    const colours = STATES.map(({ word }) => colour(`--device-${word}`));
    for (let index = 0; index < count; index++) {
      const state = Number(this.#states[index]);
      context.fillStyle = context.strokeStyle = colours[state] ?? "";
      const x = (index % this.#columnCount) * this.#size + GAP / 2;
      const y = Math.floor(index / this.#columnCount) * this.#size + GAP / 2;
      SHAPES[state]?.(context, x, y, this.#size - GAP);
      if (index === this.#selected) drawFrame(context, x, y, this.#size - GAP);
    }
  }

  #at({ offsetX, offsetY }: PointerEvent): number | undefined {
    const column = Math.floor(offsetX / this.#size);
    if (column >= this.#columnCount) return undefined;
    const index = Math.floor(offsetY / this.#size) * this.#columnCount + column;
    return index < this.#states.length ? index : undefined;
  }

  #onKey(event: KeyboardEvent): void {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.#columnCount,
      ArrowDown: this.#columnCount,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = this.#selected === undefined ? 0 : this.#selected + step;
    if (next >= 0 && next < this.#states.length) this.#select(next);
  }

  #select(index: number | undefined): void {
    if (index === this.#selected) return;
    this.#selected = index;
    this.#draw();
    this.#showSelected();
  }

  #showSelected(): void {
    const index = this.#selected;
    const text =
      index === undefined
        ? this.#hint
        : `${this.#names[index] ?? `Device ${index}`}: ${STATES[Number(this.#states[index])]?.name ?? ""}`;
    if (this.#label.textContent !== text) this.#label.textContent = text;
  }
}

type Shape = (context: CanvasRenderingContext2D, x: number, y: number, size: number) => void;

/** Off: a cross. Waiting: a ring. Connecting: a diamond. Connected: a square. */
const SHAPES: readonly Shape[] = [
  (context, x, y, size) => {
    const inset = size / 5;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x + inset, y + inset);
    context.lineTo(x + size - inset, y + size - inset);
    context.moveTo(x + size - inset, y + inset);
    context.lineTo(x + inset, y + size - inset);
    context.stroke();
  },
  (context, x, y, size) => {
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x + size / 2, y + size / 2, size / 2 - 2, 0, 2 * Math.PI);
    context.stroke();
  },
  (context, x, y, size) => {
    context.beginPath();
    context.moveTo(x + size / 2, y);
    context.lineTo(x + size, y + size / 2);
    context.lineTo(x + size / 2, y + size);
    context.lineTo(x, y + size / 2);
    context.fill();
  },
  (context, x, y, size) => {
    context.beginPath();
    context.roundRect(x, y, size, size, size / 6);
    context.fill();
  },
];

function drawFrame(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.strokeStyle = colour("--text");
  context.lineWidth = 2;
  context.strokeRect(x - 1, y - 1, size + 2, size + 2);
}
