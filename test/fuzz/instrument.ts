/** Adds counters and fuel to a compiled module: which branches a run took, and a trap for a loop without an end. */

import binaryen from "assemblyscript/binaryen";

/** Counters and fuel lie from here on, behind the 64 KiB that the module is told of. */
export const PROBE_AT = 0x10000;

/** Loop rounds and calls that one API call may take. */
export const FUEL_PER_CALL = 4_000_000;

const COUNTER_LENGTH = 4;

export interface Instrumented {
  module: WebAssembly.Module;
  counterCount: number;
}

type Node = string | Node[];

/**
 * The same module with a counter at each function's entry, loop's body and both ways of each `if`, `br_if`, `select` and
 * comparison. Each loop round and each call takes one unit of the fuel at PROBE_AT; at 0 it traps. The embedder must
 * grow the memory by a page before the first call.
 */
export function instrument(wasm: Uint8Array): Instrumented {
  const original = binaryen.readBinary(wasm);
  const tree = parse(original.emitText());
  original.dispose();
  const prober = new Prober();
  const changed = binaryen.parseText(print(prober.probe(tree)));
  try {
    if (!changed.validate()) throw new Error("the instrumented module is invalid");
    return {
      module: new WebAssembly.Module(changed.emitBinary()),
      counterCount: prober.counterCount,
    };
  } finally {
    changed.dispose();
  }
}

/** Where the counters lie. */
export function countersAt(): number {
  return PROBE_AT + COUNTER_LENGTH;
}

const COMPARISON = /^(?:i32|i64)\.(?:eqz?|ne|lt_[su]|le_[su]|gt_[su]|ge_[su])$/u;
const FUNCTION_HEAD = new Set(["param", "result", "local", "type", "export"]);
const BURN = `(func $burn
  (if (i32.eqz (i32.load (i32.const ${PROBE_AT}))) (then (unreachable)))
  (i32.store (i32.const ${PROBE_AT}) (i32.sub (i32.load (i32.const ${PROBE_AT})) (i32.const 1))))`;

class Prober {
  counterCount = 0;

  probe(node: Node): Node {
    if (typeof node === "string") return node;
    const [name, ...rest] = node;
    switch (name) {
      case "module":
        return [name, ...rest.map((child) => this.#function(child)), parse(BURN)];
      case "if":
        return this.#if(node);
      case "loop":
        return this.#loop(node);
      case "br_if":
      case "select":
        return [name, ...rest.slice(0, -1).map((child) => this.probe(child)), this.#both(rest)];
      case "br_table":
        throw new Error("a br_table has no counters yet: teach this file to place them");
      default: {
        const probed = node.map((child) => this.probe(child));
        return typeof name === "string" && COMPARISON.test(name) ? this.#choice(probed) : probed;
      }
    }
  }

  /** Types, exports, the memory and the globals stay as they are. */
  #function(node: Node): Node {
    if (typeof node === "string" || node[0] !== "func") return node;
    const isHead = (child: Node, index: number) =>
      index < 2 || (Array.isArray(child) && FUNCTION_HEAD.has(child[0] as string));
    const bodyIndex = node.findIndex((child, index) => !isHead(child, index));
    const end = bodyIndex < 0 ? node.length : bodyIndex;
    const body = node.slice(end).map((child) => this.probe(child));
    return [...node.slice(0, end), this.#hit(), ["call", "$burn"], ...body];
  }

  #loop(node: Node[]): Node {
    const bodyIndex = node.findIndex(
      (child, index) => index > 0 && Array.isArray(child) && child[0] !== "result",
    );
    const body = node.slice(bodyIndex).map((child) => this.probe(child));
    return [...node.slice(0, bodyIndex), this.#hit(), ["call", "$burn"], ...body];
  }

  /** The condition's own value is counted by the arms. */
  #if(node: Node[]): Node {
    const thenIndex = node.findIndex((child) => Array.isArray(child) && child[0] === "then");
    const head = node.slice(0, thenIndex - 1);
    const condition = this.#within(node[thenIndex - 1] ?? []);
    const arms = [node[thenIndex] ?? ["then"], node[thenIndex + 1] ?? ["else"]].map((arm) => {
      const [name = "", ...body] = arm;
      return [name, this.#hit(), ...body.map((child) => this.probe(child))];
    });
    return [...head, condition, ...arms];
  }

  #both(children: Node[]): Node {
    return this.#choice(this.#within(children.at(-1) ?? []));
  }

  /** Probes the operands of a condition, not the condition. */
  #within(condition: Node): Node {
    const isComparison = typeof condition !== "string" && COMPARISON.test(String(condition[0]));
    return isComparison ? condition.map((child) => this.probe(child)) : this.probe(condition);
  }

  /** 1 or 0 like the condition, and a counter for each. */
  #choice(condition: Node): Node {
    const arm = (name: string, value: string) => [name, this.#hit(), ["i32.const", value]];
    return ["if", ["result", "i32"], condition, arm("then", "1"), arm("else", "0")];
  }

  #hit(): Node {
    const at = ["i32.const", String(countersAt() + COUNTER_LENGTH * this.counterCount)];
    this.counterCount++;
    return ["i32.store", at, ["i32.add", ["i32.load", at], ["i32.const", "1"]]];
  }
}

/** The one S-expression of a WebAssembly text. */
function parse(text: string): Node {
  const root: Node[] = [];
  const open: Node[][] = [root];
  for (const [token] of text.matchAll(/;;[^\n]*|"(?:[^"\\]|\\.)*"|[()]|[^\s()"]+/gu)) {
    if (token.startsWith(";;")) continue;
    if (token === "(") {
      const list: Node[] = [];
      open.at(-1)?.push(list);
      open.push(list);
    } else if (token === ")") open.pop();
    else open.at(-1)?.push(token);
  }
  return root[0] ?? [];
}

function print(node: Node): string {
  return typeof node === "string" ? node : `(${node.map(print).join(" ")})`;
}
