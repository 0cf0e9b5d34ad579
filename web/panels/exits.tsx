// The exit log: what left the guest, and what the VMM did to slots, attributes and dirty logs, each explained.
// Reference: model/exits.ts (the words); linux Documentation/virt/kvm/api.rst, struct kvm_run.
import { useEffect, useRef } from 'react';
import { Button } from 'react-aria-components';
import type { EventList } from '../engine/port.ts';
import { count, hex } from '../format.ts';
import { exitGpa, exitName, exitText, isGuests } from '../model/exits.ts';

export interface ExitsPanelProps {
  readonly exits: EventList;
  /** seq of the first event of the last step. */
  readonly from: number;
  readonly onGoTo: (gpa: bigint) => void;
}

export function ExitsPanel({ exits: { records, fitting }, from, onGoTo }: ExitsPanelProps) {
  const list = useRef<HTMLOListElement>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new exits are why it scrolls
  useEffect(() => {
    const element = list.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, [records]);

  if (records.length === 0)
    return (
      <p className="quiet">
        Nothing has left the guest: every access so far was answered by a SLAT entry, or by KVM with a page.
      </p>
    );
  return (
    <div className="exits">
      <p className="quiet">
        {count(fitting)} so far
        {records.length < fitting ? `, the newest ${count(records.length)} are shown` : ''}. Those of the last
        step are marked.
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled list has to be reachable by keyboard */}
      <ol ref={list} className="log scroll" tabIndex={0} aria-label="Exits">
        {records.map((e) => {
          const gpa = exitGpa(e);
          return (
            <li key={e.seq} className={e.seq >= from ? 'new' : ''}>
              {isGuests(e) ? <span className="quiet">cpu{e.cpu} </span> : null}
              <b>{exitName(e)}</b>{' '}
              {gpa === undefined ? null : (
                <Button className="link" aria-label={`go to ${hex(gpa)}`} onPress={() => onGoTo(gpa)}>
                  {hex(gpa)}
                </Button>
              )}{' '}
              {exitText(e)}
            </li>
          );
        })}
      </ol>
    </div>
  );
}
