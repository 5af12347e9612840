import { useState } from "preact/hooks";
import { type Price, type PriceBook, removePrice } from "../../api/prices.ts";
import { count, dollars } from "../../format/numbers.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { Button, IconButton } from "../../ui/button.tsx";
import { confirm } from "../../ui/confirm.tsx";
import { type Column, DataTable } from "../../ui/data-table.tsx";
import { Card } from "../../ui/page.tsx";
import { Empty } from "../../ui/states.tsx";
import { say, sayFailed } from "../../ui/toasts.tsx";
import type { Resource } from "../../ui/use-resource.ts";
import { AMOUNTS } from "./price-draft.ts";
import { PriceForm } from "./price-form.tsx";

/** The operator's prices: listed, set from a day on, and removed. */
export function OwnPrices({ prices }: { prices: Resource<PriceBook> }) {
  const t = settingsWords();
  const [isOpen, setOpen] = useState(false);
  const { value, failure, reload } = prices;

  const remove = async ({ model, effectiveFrom }: Price) => {
    const isSure = await confirm({
      title: t.removeTitle(model, effectiveFrom),
      consequences: [t.removeHappens, t.removeKeeps],
      action: t.removePrice(model),
    });
    if (!isSure) return;
    const removed = await removePrice(model, effectiveFrom);
    if (removed.ok) say(t.removed(model));
    else sayFailed(removed.error);
    await reload();
  };
  return (
    <Card
      title={t.ownPrices}
      isFlush
      actions={
        <Button kind="primary" icon="plus" onClick={() => setOpen(true)}>
          {t.addPrice}
        </Button>
      }
    >
      <p class="muted card-lead">{t.pricesLead}</p>
      <DataTable
        caption={t.pricesCaption}
        rows={value?.prices ?? null}
        keyOf={({ model, effectiveFrom }) => `${model} ${effectiveFrom}`}
        failure={failure}
        onRetry={() => void reload()}
        empty={
          <Empty icon="settings" title={t.noPrices}>
            <p>{t.noPricesText}</p>
          </Empty>
        }
        columns={[
          ...priceColumns(),
          {
            id: "remove",
            head: t.removePrice(""),
            isHeadHidden: true,
            isCorner: true,
            cell: (price) => (
              <IconButton
                icon="close"
                label={t.removePrice(price.model)}
                onClick={() => void remove(price)}
              />
            ),
          },
        ]}
      />
      {isOpen && (
        <PriceForm
          listed={value?.listed ?? []}
          onClose={() => setOpen(false)}
          onSaved={() => {
            setOpen(false);
            void reload();
          }}
        />
      )}
    </Card>
  );
}

/** What counts where the operator has set nothing; long, so it is shown when it is asked for. */
export function BuiltInPrices({ prices: { value } }: { prices: Resource<PriceBook> }) {
  const t = settingsWords();
  const [isOpen, setOpen] = useState(false);
  return (
    <Card
      title={t.builtIn}
      isFlush={isOpen}
      actions={!isOpen && <Button onClick={() => setOpen(true)}>{t.builtInShow}</Button>}
    >
      {isOpen && (
        <DataTable
          caption={t.builtInCaption}
          rows={value === null ? null : [...value.listed, value.standIn]}
          keyOf={({ id }) => id}
          empty={null}
          columns={priceColumns()}
        />
      )}
    </Card>
  );
}

function priceColumns(): Column<Price>[] {
  const t = settingsWords();
  return [
    { id: "model", head: t.model, isMain: true, cell: (price) => <ModelOf price={price} /> },
    {
      id: "from",
      head: t.from,
      cell: ({ effectiveFrom }) => <span class="nowrap">{effectiveFrom}</span>,
    },
    ...AMOUNTS.map(
      (name): Column<Price> => ({
        id: name,
        head: t[name],
        isNumber: true,
        cell: (price) => (
          <>
            {dollars(price[name])}
            {price.longPrompt !== null && (
              <span class="cell-note">{dollars(price.longPrompt[name])}</span>
            )}
          </>
        ),
      }),
    ),
  ];
}

function ModelOf({ price: { model, longPrompt } }: { price: Price }) {
  const t = settingsWords();
  return (
    <>
      {model === STAND_IN ? t.standIn : model}
      {longPrompt !== null && (
        <span class="cell-note">{t.longPrompt(count(longPrompt.thresholdTokens))}</span>
      )}
    </>
  );
}

/** The name of the price for models that are not known. */
const STAND_IN = "default";
