// Finds a Chromium for the browser tests, or installs one. Prints its path when run by itself.
// Order: CHROMIUM_PATH, the system's, Playwright's own, then an installation. Reference: README "Tests".
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const MAC = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

/** Flags that work in a container without GPU and keep the browser from calling home. */
export const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const isExecutable = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

function systemChromium() {
  const folders = (process.env.PATH ?? '').split(delimiter).concat('/usr/bin', '/usr/local/bin', '/snap/bin');
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...candidates, ...MAC].find(isExecutable);
}

function playwrightChromium() {
  const path = chromium.executablePath();
  return path && existsSync(path) ? path : undefined;
}

/** Runs one way of installing; a failure is remembered, not thrown, since there may be a second way. */
function tryInstall(command, args, failures) {
  try {
    process.stderr.write(`no Chromium found, trying: ${command} ${args.join(' ')}\n`);
    execFileSync(command, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      shell: process.platform === 'win32',
    });
    return true;
  } catch (error) {
    failures.push(`${command} ${args.join(' ')}: ${error instanceof Error ? error.message : error}`);
    return false;
  }
}

function install() {
  const failures = [];
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    tryInstall('apt-get', ['update', '-q'], failures);
    tryInstall('apt-get', ['install', '-y', '-q', '--no-install-recommends', 'chromium'], failures);
    const found = systemChromium();
    if (found) return found;
  }
  tryInstall('npx', ['playwright', 'install', 'chromium'], failures);
  const found = playwrightChromium();
  if (found) return found;
  throw new Error(
    [
      'No Chromium: set CHROMIUM_PATH to one, or install it (Debian: apt-get install chromium;',
      'elsewhere: npx playwright install chromium). What was tried:',
      ...failures.map((failure) => `  ${failure}`),
    ].join('\n'),
  );
}

/** Path of a Chromium that can be started; throws with instructions when there is none to be had. */
export function findChromium() {
  const given = process.env.CHROMIUM_PATH;
  if (given) {
    if (isExecutable(given)) return given;
    throw new Error(`CHROMIUM_PATH is "${given}", which is not an executable file`);
  }
  return systemChromium() ?? playwrightChromium() ?? install();
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    process.stdout.write(`${findChromium()}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
