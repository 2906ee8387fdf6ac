import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Most of the time is spent waiting for Wills and time limits: one worker would leave both cores of a small machine idle.
    maxWorkers: 2,
  },
});
