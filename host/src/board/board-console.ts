/** Follows what a board says to people, over resets and pulled cables. Any board will do: nothing is asked. */

import type { World } from "../world.ts";
import { LineKeeper } from "./line-keeper.ts";
import type { OpenLine } from "./serial-line.ts";

export type ConsoleEvent =
  | { readonly event: "opened"; readonly path: string }
  /** Not whole: it was cut, because it was too long or something else began in the middle of it. */
  | { readonly event: "line"; readonly text: string; readonly isWhole: boolean }
  /** The line ended, or could not be opened. */
  | { readonly event: "closed"; readonly error: Error; readonly retryInMs: number };

export interface ConsoleOptions {
  readonly world: World;
  readonly openLine: OpenLine;
  readonly tell: (event: ConsoleEvent) => void;
}

export function followConsole({ world, openLine, tell }: ConsoleOptions): {
  stop(): Promise<void>;
} {
  return new LineKeeper({
    world,
    openLine,
    handlers: {
      opened: ({ path }) => tell({ event: "opened", path }),
      console: ({ text, isWhole }) => tell({ event: "line", text, isWhole }),
      frame: () => {},
      closed: (error, retryInMs) => tell({ event: "closed", error, retryInMs }),
    },
  });
}
