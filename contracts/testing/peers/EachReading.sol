// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A shipment whose device sends each reading in a transaction of its own
/// @notice A peer for the gas table, in our own words: what `IngestTelemetry` of the RefrigeratedTransportation sample
/// of Azure's blockchain workbench reads, checks and stores for a reading, and nothing of its quirks. The device is an
/// account that pays; there is no signature, no time above the limit, and only the last reading's time is kept.
contract EachReading {
    enum State {
        Created,
        InTransit,
        Completed,
        OutOfCompliance
    }

    State public state;
    address public device;
    int256 public lowestHumidity;
    int256 public highestHumidity;
    int256 public lowestTemperature;
    int256 public highestTemperature;
    bool public isCompliant = true;
    int256 public reading;
    string public detail = "N/A";
    int256 public readAt;

    error NotTaken();

    constructor(address device_, int256[2] memory humidity, int256[2] memory temperature) {
        device = device_;
        (lowestHumidity, highestHumidity) = (humidity[0], humidity[1]);
        (lowestTemperature, highestTemperature) = (temperature[0], temperature[1]);
    }

    function ingest(int256 humidity, int256 temperature, int256 timestamp) external {
        if (state == State.Completed) revert NotTaken();
        if (state == State.OutOfCompliance) revert NotTaken();
        if (msg.sender != device) revert NotTaken();
        readAt = timestamp;
        if (humidity > highestHumidity || humidity < lowestHumidity) {
            _leave(humidity, "Humidity value out of range.");
        } else if (temperature > highestTemperature || temperature < lowestTemperature) {
            _leave(temperature, "Temperature value out of range.");
        }
        if (!isCompliant) state = State.OutOfCompliance;
    }

    function _leave(int256 value, string memory why) private {
        reading = value;
        detail = why;
        isCompliant = false;
    }
}
