// The console: one line in, its answer below. Requests become steps of the timeline, so Back undoes them.
// Reference: engine/command.ts for the grammar.
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { Button, Form, Input, Label, TextField } from 'react-aria-components';
import type { ConsoleLine } from '../state.ts';

export interface ConsolePanelProps {
  readonly lines: readonly ConsoleLine[];
  readonly onRun: (line: string) => void;
}

export function ConsolePanel({ lines, onRun }: ConsolePanelProps) {
  const [text, setText] = useState('');
  /** How far back in the history; 0 is the line being typed. */
  const [back, setBack] = useState(0);
  const log = useRef<HTMLDivElement>(null);
  const history = lines.filter((l) => l.kind === 'input').map((l) => l.text);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new lines are why it scrolls
  useEffect(() => {
    const element = log.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, [lines]);

  const recall = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowUp' ? 1 : event.key === 'ArrowDown' ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    const next = Math.min(history.length, Math.max(0, back + by));
    setBack(next);
    setText(next === 0 ? '' : (history.at(-next) ?? ''));
  };

  return (
    <div className="console">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled log has to be reachable by keyboard */}
      <div ref={log} className="console-log scroll" role="log" aria-label="Console output" tabIndex={0}>
        {lines.length === 0 ? (
          <p className="quiet">
            Try <code>touch 1G 16M --write</code>, <code>dontneed 1G 8M</code>, <code>read 1G</code>, or{' '}
            <code>help</code>.
          </p>
        ) : null}
        {lines.map((line, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines are only ever appended
          <pre key={i} className={line.kind}>
            {line.kind === 'input' ? `slatbox> ${line.text}` : line.text}
          </pre>
        ))}
      </div>
      <Form
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim() === '') return;
          onRun(text);
          setText('');
          setBack(0);
        }}
      >
        <TextField value={text} onChange={setText} onKeyDown={recall} className="console-input">
          <Label>Console</Label>
          <Input
            id="console-input"
            placeholder="dontneed 1G 4K --cpu 0"
            spellCheck="false"
            autoComplete="off"
            autoCapitalize="off"
          />
        </TextField>
        <Button type="submit">Run</Button>
      </Form>
    </div>
  );
}
