import type { ProtectClass } from '../../config/model.ts';

/**
 * Column names that mean cardholder data wherever they appear. Compared in lower case without separators, so that
 * `card_number`, `CardNumber` and `card-number` are one. An operator adds others under `protect.columns`.
 */
const NAMES: ReadonlyMap<string, ProtectClass> = new Map([
  ...(
    [
      'pan',
      'cardnumber',
      'cardnum',
      'cardno',
      'ccnumber',
      'ccnum',
      'ccno',
      'creditcard',
      'creditcardnumber',
      'debitcardnumber',
      'primaryaccountnumber',
      'cardpan',
      'pannumber',
      'fullpan',
      'accountnumberpan',
    ] as const
  ).map((name) => [name, 'pan'] as const),
  ...(
    [
      'cvv',
      'cvv2',
      'cvc',
      'cvc2',
      'cid',
      'cav2',
      'csc',
      'cvn',
      'cardcvv',
      'cardcvc',
      'cardverificationvalue',
      'cardverificationcode',
      'securitycode',
      'cardsecuritycode',
      'pinblock',
      'pindata',
      'cardpin',
      'track',
      'track1',
      'track2',
      'trackdata',
      'track1data',
      'track2data',
      'magstripe',
      'fulltrack',
      'magneticstripe',
    ] as const
  ).map((name) => [name, 'sad'] as const),
  ...(
    [
      'expiry',
      'expirydate',
      'expdate',
      'cardexpiry',
      'cardexpirydate',
      'expirationdate',
      'cardexpiration',
      'expmonth',
      'expyear',
      'ccexp',
      'validthru',
      'validuntilcard',
    ] as const
  ).map((name) => [name, 'expiry'] as const),
]);

export function wellKnownColumn(name: string): ProtectClass | null {
  return NAMES.get(name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')) ?? null;
}
