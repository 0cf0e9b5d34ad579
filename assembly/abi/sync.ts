// Synchronisation points: where one vCPU thread can meet another. Only the `explore` build stops at them; the schedule
// explorer of the tests decides there who goes on.

export enum SyncPoint {
  None = 0,
  /** About to try a lock. */
  LockTake = 1,
  /** The lock is held, or a sequence odd: nothing to do until another thread has moved. */
  LockWait = 2,
  /** A lock is about to be given back. */
  LockGive = 3,
  /** A guest window opens. */
  WindowEnter = 4,
  /** A guest window closes. */
  WindowLeave = 5,
  /** Inside a guest window, between the walk and the access. */
  WindowAccess = 6,
  /** A zap waits for another vCPU to leave its window. */
  ZapWait = 7,
  /** A reset waits for another vCPU's request. */
  ModeWait = 8,
  /** What others see without a lock is about to be written. */
  Publish = 9,
  /** What others write under a lock is about to be read without it. */
  Look = 10,
}
