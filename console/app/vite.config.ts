import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/console/",
  plugins: [react()],
  logLevel: "warn",
  build: {
    assetsDir: "hashed", // the server lets these be kept for ever: their names change with what they hold
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    license: { fileName: "licenses.txt" }, // of what is bundled
    modulePreload: { polyfill: false },
    target: "es2023",
    write: false, // build.mjs does, gzipped
  },
});
