// Console lines that only look or move; those that change the machine are steps and go to the engine.
// Reference: engine/command.ts for the grammar.
import { gpa as toGpa } from '../src/address.ts';
import { parseInteger } from '../src/size.ts';
import { helpText, type PageCommand } from './engine/command.ts';
import type { EnginePort } from './engine/port.ts';
import { type ConsoleLine, type Page, type PageState, stepSentence } from './state.ts';

/** `print` adds a line to the console. */
export async function runPageCommand(
  command: PageCommand,
  engine: EnginePort,
  get: () => Page,
  set: (changed: Partial<PageState>) => void,
  print: (kind: ConsoleLine['kind'], text: string) => void,
): Promise<void> {
  switch (command.page) {
    case 'help':
      return print('output', helpText(command.topic));
    case 'clear':
      return set({ console: [] });
    case 'digest':
    case 'smaps': {
      const text = await (command.page === 'digest' ? engine.digest() : engine.smaps(get().vm));
      return text.ok ? print('output', text.value.trimEnd()) : print('problem', text.error.message);
    }
    case 'step':
    case 'back':
      await get().stepBy(command.page === 'step' ? 1 : -1);
      return print('output', stepSentence(get()));
    case 'seek':
      if (!/^[0-9]+$/.test(command.target))
        return print('problem', `seek: "${command.target}" is not a step number`);
      await get().seek(Number(command.target));
      return print('output', stepSentence(get()));
    case 'select':
    case 'walk':
      try {
        get().goTo({ gpa: toGpa(command.gpa), len: parseInteger(command.len) });
        if (command.page === 'walk') get().setPanel('walk');
      } catch (error) {
        print('problem', error instanceof Error ? error.message : String(error));
      }
  }
}
