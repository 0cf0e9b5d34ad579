// The key sheet, made from the one list of keys.
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';
import { KEYS, type Key, type KeyPlace } from '../keys.ts';

export interface KeySheetProps {
  readonly isOpen: boolean;
  readonly onOpenChange: (open: boolean) => void;
}

const PLACES: readonly { readonly id: KeyPlace; readonly title: string }[] = [
  { id: 'page', title: 'Anywhere outside text fields' },
  { id: 'map', title: 'On the map' },
];
const GLYPHS: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
};
const glyph = (key: string): string => key.replace(/Arrow\w+/, (arrow) => GLYPHS[arrow] ?? arrow);

export function KeySheet({ isOpen, onOpenChange }: KeySheetProps) {
  return (
    <ModalOverlay isOpen={isOpen} onOpenChange={onOpenChange} isDismissable className="overlay">
      <Modal className="modal">
        <Dialog>
          {({ close }) => (
            <>
              <Heading slot="title">Keys</Heading>
              <div className="sheet">
                {PLACES.map(({ id, title }) => (
                  <section key={id}>
                    <h3>{title}</h3>
                    <dl>
                      {KEYS.filter((k) => k.place === id).map((k) => (
                        <Line key={k.action} k={k} />
                      ))}
                    </dl>
                  </section>
                ))}
              </div>
              <Button onPress={close}>Close</Button>
            </>
          )}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

function Line({ k }: { k: Key }) {
  return (
    <div>
      <dt>
        {k.keys.map((name) => (
          <kbd key={name}>{glyph(name)}</kbd>
        ))}
      </dt>
      <dd>{k.about}</dd>
    </div>
  );
}
