// The event log, newest last, indented by cause; what the last step did stands out.
// Reference: docs/events.md.
import { useEffect, useMemo, useRef } from 'react';
import { Button, Input, Label, SearchField } from 'react-aria-components';
import type { EventList } from '../engine/port.ts';
import { count } from '../format.ts';
import { depths } from '../model/events.ts';

export interface EventsPanelProps {
  readonly events: EventList;
  /** Names of the VMs by their number. */
  readonly vms: readonly string[];
  /** seq of the first event of the last step. */
  readonly from: number;
  readonly filter: string;
  readonly onFilter: (filter: string) => void;
}

export function EventsPanel({ events, vms, from, filter, onFilter }: EventsPanelProps) {
  const list = useRef<HTMLOListElement>(null);
  const { records, fitting, searched, total } = events;
  const depth = useMemo(() => depths(records), [records]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new events are why it scrolls
  useEffect(() => {
    const element = list.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, [records]);

  return (
    <div className="events">
      <SearchField value={filter} onChange={onFilter} className="filter">
        <Label>Filter</Label>
        <Input id="event-filter" placeholder="kind:zap cpu:0 0x4000" spellCheck="false" autoComplete="off" />
      </SearchField>
      <p className="quiet">
        {count(total)} events so far
        {searched < total ? `, the last ${count(searched)} are kept` : ''}
        {filter ? `, ${count(fitting)} fit` : ''}
        {records.length < fitting ? `, the newest ${count(records.length)} are shown` : ''}.
      </p>
      {records.length === 0 ? (
        <p className="quiet">
          {filter ? 'Nothing fits the filter.' : 'Nothing has happened yet: take a step.'}
        </p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled list has to be reachable by keyboard
        <ol ref={list} className="log scroll" tabIndex={0} aria-label="Events">
          {records.map((e) => (
            <li
              key={e.seq}
              className={e.seq >= from ? 'new' : ''}
              style={{ paddingInlineStart: `${Math.min(6, depth.get(e.seq) ?? 0)}em` }}
            >
              <span className="quiet">
                {e.seq} {vms.length > 1 ? vms[e.vm] : ''}
              </span>{' '}
              <b>{e.kind}</b> {e.text}
              {e.cause > 0 ? (
                <Button
                  className="link"
                  aria-label={`because of event ${e.cause}`}
                  onPress={() => onFilter(`seq:${e.cause}`)}
                >
                  ↰{e.cause}
                </Button>
              ) : null}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
