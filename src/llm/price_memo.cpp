#include "llm/price_memo.hpp"

#include "llm/table_key.hpp"

namespace ballast::llm {

ModelInfoPtr PriceMemo::find(const std::shared_ptr<const PriceBook>& book, std::string_view provider, std::string_view kind,
                             std::string_view model, WallTime when) {
  if (book != book_ || when < valid_.from || when >= valid_.until || known_.size() >= kMost) {
    known_.clear();
    book_ = book;
    valid_ = book->unchanged_around(when);
  }
  const TableKey key(kind, provider, model);
  if (const auto at = known_.find(std::string_view(key)); at != known_.end()) return at->second;
  auto found = book->find(provider, kind, model, when);
  auto kept = found ? std::make_shared<const ModelInfo>(std::move(*found)) : nullptr;
  known_.emplace(std::string_view(key), kept);
  return kept;
}

}  // namespace ballast::llm
