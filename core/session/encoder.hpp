// An encoder in memory, and its calls: what is given is checked, and one call at a time is answered.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/encoder.hpp"
#include "session/session.hpp"

namespace subbyte {

Result<Pooling> pooling_of(const std::string& name);

class EncoderSession : public Session {
 public:
  // settings: those of EncoderConfig. grids and rotations: of points.
  static Result<std::unique_ptr<EncoderSession>> make(Settings settings, const Tensors& tensors,
                                                      const std::map<std::string, Grid>& grids,
                                                      const std::map<std::string, size_t>& rotations,
                                                      const Runtime& runtime);

  // Of texts of token ids, and for each the types of its tokens (none at all: all of type 0).
  // The last layer's values of all tokens, [tokens, hidden], one text behind the other.
  Result<Table> states(const Ids& tokens, const Ids& types);
  // One vector a text, [texts, hidden].
  Result<Table> pooled(const Ids& tokens, const Ids& types, Pooling pooling);
  // [texts, labels]
  Result<Table> logits(const Ids& tokens, const Ids& types);
  // What passed these points before it was rounded, each as one run of values, [values, 1].
  Result<std::vector<Table>> observe(const Ids& tokens, const Ids& types, const std::vector<std::string>& names);
  // The rows that each of these matrices multiplied.
  Result<std::vector<Table>> inputs(const Ids& tokens, const Ids& types, const std::vector<std::string>& names);

  size_t weight_bytes() const { return matrix_bytes() + model_->folded_bytes(); }  // resident

 private:
  EncoderSession(std::unique_ptr<Encoder> model, const Tensors& tensors)
      : Session(model->ops(), tensors), model_(std::move(model)) {}

  Result<std::vector<Text>> texts_of(const Ids& tokens, const Ids& types) const;
  void pass(const std::vector<Text>& texts);

  std::unique_ptr<Encoder> model_;
};

}  // namespace subbyte
