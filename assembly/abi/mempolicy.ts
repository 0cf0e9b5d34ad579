// NUMA policies. Reference: linux include/uapi/linux/mempolicy.h.

export enum Mpol {
  Default = 0,
  Preferred = 1,
  Bind = 2,
  Interleave = 3,
  Local = 4,
}

/** Flags of mbind. */
export enum MpolMf {
  Strict = 1,
  Move = 2,
  MoveAll = 4,
}

/** Flags of get_mempolicy. */
export enum MpolF {
  Node = 1,
  Addr = 2,
  MemsAllowed = 4,
}

/** A policy is one number: its mode, and above this bit one bit a node. */
export const POLICY_NODES_SHIFT = 8;
