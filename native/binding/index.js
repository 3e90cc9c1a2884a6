import { createRequire } from 'node:module';

// One file per platform would need a loader; the addon is built on the machine that runs it.
const addon = createRequire(import.meta.url)('./sluice.node');

export const {
  compileRules,
  dropRules,
  ruleNames,
  maskText,
  compileRowPlan,
  dropRowPlan,
  maskRows,
  StreamMasker,
  maskCopy,
  RecordChain,
  RecordLock,
  statementShape,
  analyzeSql,
  fingerprintSql,
  compileCatalog,
  dropCatalog,
  lineage,
  compilePolicies,
  dropPolicies,
  listPolicies,
  decidePolicy,
  // Not on every system.
  pollStart,
  pollKeep,
  pollSet,
  pollWait,
  socketDuplicate,
  socketRead,
  socketWrite,
  socketFinish,
  socketClose,
} = addon;
