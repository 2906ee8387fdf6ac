/** A board for the time of a command: its line opened before the work, closed after it, whatever happens. */

import { type Board, openBoard } from "../board/board.ts";
import type { ConsoleLine } from "../board/board-link.ts";
import type { CliContext } from "./command.ts";
import type { DeviceLine } from "./device-options.ts";

/** Ctrl-C ends the work between two requests. Throws a BoardError. */
export async function withBoard<Result>(
  { openLine }: DeviceLine,
  { world, interrupt }: CliContext,
  work: (board: Board) => Promise<Result>,
  console?: (line: ConsoleLine) => void,
): Promise<Result> {
  const board = await openBoard({ world, openLine, console });
  try {
    interrupt.throwIfAborted();
    return await work(board);
  } finally {
    await board.close();
  }
}
