/** The part of the WebAssembly namespace that this program uses; lib.dom has the rest. */
declare namespace WebAssembly {
  type ExportValue = ((...args: number[]) => number) | Memory | Global;
  type Exports = Record<string, ExportValue>;

  class Memory {
    readonly buffer: ArrayBuffer;
    grow(pageCount: number): number;
  }

  class Global {
    readonly value: unknown;
  }

  class Module {
    constructor(bytes: Uint8Array);
    static exports(module: Module): { name: string; kind: string }[];
    static imports(module: Module): { module: string; name: string; kind: string }[];
  }

  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Exports;
  }

  function instantiate(
    bytes: Uint8Array,
    imports?: Record<string, Record<string, unknown>>,
  ): Promise<{ module: Module; instance: Instance }>;

  class CompileError extends Error {}
  class RuntimeError extends Error {}
}
