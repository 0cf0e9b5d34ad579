// A failure of the engine, with its code and what to do; the machine on the page stays as it was.
// What a guest does wrong is not here: that is content, in the steps and the event log.
import { Button } from 'react-aria-components';
import type { Failure } from '../engine/port.ts';

export interface FailureBannerProps {
  readonly failure: Failure | undefined;
  readonly step: number;
  readonly onDismiss: () => void;
  readonly onBack: () => void;
}

export function FailureBanner({ failure, step, onDismiss, onBack }: FailureBannerProps) {
  return (
    <div role="alert">
      {failure ? (
        <div className="banner">
          <p>
            <strong>{failure.code}</strong> {failure.message}
            {failure.hint ? <span className="hint"> Hint: {failure.hint}.</span> : null}
          </p>
          {step > 0 ? <Button onPress={onBack}>Back one step</Button> : null}
          <Button onPress={onDismiss}>Dismiss</Button>
        </div>
      ) : null}
    </div>
  );
}
