/** The form that publishes a message, and the list of what came back. */

import type { Arrival, PublishRequest, Refusal } from "../src/pages/page-data.ts";
import { place } from "./place.ts";

export interface PublishForm {
  arrived(arrivals: readonly Arrival[]): void;
  /** Forgets the list. */
  clear(): void;
  /** The run is over. */
  close(): void;
}

/** The page keeps as many as the server. */
const ARRIVAL_COUNT_MAX = 20;

export function showPublishForm(form: HTMLFormElement): PublishForm {
  const answer = place("publish-answer");
  const list = place("arrivals");
  const hint = place("no-arrivals");
  const button = form.querySelector("button") as HTMLButtonElement;
  let isOpen = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isOpen) publish(form, answer, button);
  });
  return {
    arrived: (arrivals) => {
      for (const arrival of arrivals) list.prepend(itemOf(arrival));
      while (list.childElementCount > ARRIVAL_COUNT_MAX) list.lastElementChild?.remove();
      hint.hidden = list.childElementCount > 0;
    },
    clear: () => {
      list.replaceChildren();
      hint.hidden = false;
    },
    close: () => {
      isOpen = false;
      button.setAttribute("aria-disabled", "true");
      say(answer, "doubtful", "The run is over, and its connection to the broker is closed.");
    },
  };
}

async function publish(form: HTMLFormElement, answer: HTMLElement, button: HTMLButtonElement) {
  const request = requestOf(form);
  button.setAttribute("aria-busy", "true");
  say(answer, "", "Publishing…");
  try {
    const response = await fetch("publish", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-wasmqtt-token": form.dataset["token"] ?? "",
      },
      body: JSON.stringify(request),
    });
    if (response.ok) {
      const verb = request.qos === 0 ? "Sent to the broker" : "The broker has taken it";
      say(answer, "good", `✓ ${verb}: ${request.topic}`);
    } else say(answer, "bad", `✗ ${((await response.json()) as Refusal).problem}`);
  } catch {
    say(answer, "bad", "✗ The dashboard does not answer: has wasmqtt ended?");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function requestOf(form: HTMLFormElement): PublishRequest {
  const data = new FormData(form);
  const text = (name: string) => String(data.get(name) ?? "");
  return {
    topic: text("topic"),
    payload: text("payload"),
    qos: Number(text("qos")) as PublishRequest["qos"],
    retain: data.has("retain"),
  };
}

function say(answer: HTMLElement, tone: "good" | "doubtful" | "bad" | "", text: string): void {
  answer.className = tone;
  answer.textContent = text;
}

function itemOf({ topic, payload, qos, retain, afterMs }: Arrival): HTMLElement {
  const item = document.createElement("li");
  const words = document.createElement("code");
  words.textContent = `${topic}  ${payload === "" ? "(empty)" : payload}`;
  const how = document.createElement("span");
  how.className = "unit";
  const after = afterMs === null ? "" : `, ${afterMs.toFixed(1)} ms after it was published`;
  how.textContent = ` QoS ${qos}${after}${retain ? ", retained: the broker had it before" : ""}`;
  item.append(words, how);
  return item;
}
