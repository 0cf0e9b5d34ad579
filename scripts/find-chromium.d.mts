// Types of find-chromium.mjs, which stays JavaScript so that any Node can run it before a build.
export declare const CHROMIUM_FLAGS: readonly string[];
export declare function findChromium(): string;
