"use strict";
require("./start.js")("release");
